"""Listening: to this machine alone unless there is a token, until Ctrl-C or SIGTERM, and then to the end of what has begun."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from likewise.data.decode import quiet_pillow
from likewise.errors import ServeError
from likewise.serve.access import is_loopback
from likewise.serve.connections import TimedConnection
from likewise.training.interruption import StopWish

__all__ = ["address_of", "listen", "run_server"]

GRACE = 10  # seconds that requests under way get when the server is to stop
CONNECTIONS = 1024


def listen(host: str, port: int, token: str | None) -> socket.socket:
    """A socket that listens at an address; port 0 takes any that is free.

    Raises:
        ServeError: others could reach it and there is no token, or the address cannot be had.
    """
    if token is not None and not token.strip():
        raise ServeError("The token is empty.", expected="Expected a secret.", advice="Make one: openssl rand -hex 16.")
    if token is None and not is_loopback(host):
        raise ServeError(
            f"--host {host} lets other machines in, and there is no token.",
            expected="Expected a token where the host is not this machine alone.",
            advice="Set LIKEWISE_TOKEN or --token (openssl rand -hex 16 makes one), or leave --host out.",
        )
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise ServeError(
            f"{host}:{port} cannot be listened at ({error.strerror or error}).",
            expected="Expected an address of this machine and a free port.",
            advice="Choose another --port; 0 takes any that is free.",
        ) from error


def address_of(listener: socket.socket) -> str:
    """Where a browser finds the server.

    Example:
        >>> with listen("127.0.0.1", 0, None) as listener:
        ...     address_of(listener).rpartition(":")[0]
        'http://127.0.0.1'
    """
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run_server(app: FastAPI, listener: socket.socket, started: Callable[[str], None] = lambda address: None) -> None:
    """Serve until SIGINT or SIGTERM; requests that are under way then are answered.

    Args:
        app: as ``create_app`` made it.
        listener: as ``listen`` made it; closed at the end.
        started: called with the address when the server can be asked.

    Raises:
        KeyboardInterrupt: a second SIGINT came before the end.
    """
    config = uvicorn.Config(
        app,
        http=TimedConnection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=GRACE,
    )
    # uvicorn raises the signals that it took again when it has ended: the wish then holds them.
    with listener, StopWish(), quiet_pillow():
        started(address_of(listener))  # connections wait in the listener until the loop runs
        uvicorn.Server(config).run(sockets=[listener])
