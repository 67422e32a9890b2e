"""The verb ``serve``: an index over HTTP, until somebody stops it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from likewise.terminal import Json, output, print_json

__all__ = ["app"]

app = typer.Typer()


@app.command()
def serve(
    path: Annotated[Path, typer.Argument(metavar="INDEX|RUN", help="An index, or a run, whose images are indexed.")],
    others: Annotated[
        list[Path] | None, typer.Argument(metavar="[INDEX|RUN]…", help="More over the same images, to compare with.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free.")] = 8000,
    host: Annotated[str, typer.Option(help="0.0.0.0 lets other machines in, and needs a token.")] = "127.0.0.1",
    token: Annotated[str | None, typer.Option(envvar="LIKEWISE_TOKEN", help="That every request must carry.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    as_json: Json = False,
) -> None:
    """Serve an index: a page to explore it, and search over HTTP.

    The page is at /; /docs says how to ask for searches, embeddings and zero-shot classes.
    """
    from likewise import verbs

    def started(address: str) -> None:
        if as_json:
            print_json({"address": address, "served": str(path), "token": token is not None})
        else:
            output.print(f"{path}: {address} (how to ask: {address}/docs); Ctrl-C stops it", soft_wrap=True)
            if token is not None:
                output.print(f"In a browser open {address}/?token=… with your token once.", soft_wrap=True)
        sys.stdout.flush()

    verbs.serve(path, *(others or ()), host=host, port=port, token=token, device=device, started=started)
