"""An index over HTTP: search, neighbours, embeddings and zero-shot classes for programs, the explorer page for people."""

from likewise.serve.app import create_app
from likewise.serve.limits import Limits
from likewise.serve.server import address_of, listen, run_server

__all__ = ["Limits", "address_of", "create_app", "listen", "run_server"]
