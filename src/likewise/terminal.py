"""What the verbs of the command line share: where results go, as a table or as one JSON document, and options of many."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console

__all__ = ["Json", "OnBad", "output", "print_json"]

# A file or a pipe has no width: tables then take what they need.
output = Console(highlight=False, width=None if sys.stdout.isatty() else 140)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
OnBad = Annotated[str | None, typer.Option("--on-bad-image", help="stop (default) or skip unreadable images.")]


def print_json(value: Any) -> None:
    """Write one JSON document to standard output."""
    json.dump(value, sys.stdout, indent=2, default=str)
    sys.stdout.write("\n")
