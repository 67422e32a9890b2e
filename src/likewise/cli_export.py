"""The verbs that take a model elsewhere: write it in other tools' forms, and upload it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from likewise.terminal import Json, OnBad, output, print_json

__all__ = ["app"]

app = typer.Typer()


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", metavar="PATH", help="A new folder, for atlas a .parquet file; default RUN-FORMAT."
        ),
    ] = None,
    format: Annotated[str, typer.Option(help="hf, sentence-transformers, onnx, atlas or projector.")] = "hf",
    int8: Annotated[bool, typer.Option("--int8", help="onnx: 8-bit graphs too, and what they lose.")] = False,
    data: Annotated[
        str | None, typer.Option("--data", metavar="SOURCE", help="atlas, projector: other images than the run's.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="atlas, projector: one split; default test, or all of --data.")
    ] = None,
    projection: Annotated[str, typer.Option(help="atlas: tsne, umap or pca.")] = "tsne",
    on_bad_image: OnBad = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    as_json: Json = False,
) -> None:
    """Write a model, or a map of its embeddings, for other tools."""
    from likewise import verbs

    bad: Any = on_bad_image or "stop"
    made = verbs.export(
        run,
        out,
        format=format,
        int8=int8,
        data=data,
        split=split,
        projection=projection,
        on_bad_image=bad,
        device=device,
    )
    if as_json:
        print_json({"path": str(made.path), "files": made.files, **made.details})
        return
    size = sum(made.files.values()) / 1e6
    files = f"{len(made.files)} file{'' if len(made.files) == 1 else 's'}"
    output.print(f"{made.path}: {files}, {size:,.1f} MB", soft_wrap=True)
    for line in made.lines:
        output.print(line, soft_wrap=True)


@app.command()
def push(
    folder: Annotated[Path, typer.Argument(help="What `likewise export` wrote with --format hf or onnx.")],
    repository: Annotated[
        str, typer.Argument(metavar="OWNER/NAME", help="On the Hugging Face hub; made if there is none.")
    ],
    private: Annotated[bool, typer.Option("--private", help="Make it private.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be uploaded; no network.")] = False,
    as_json: Json = False,
) -> None:
    """Upload an exported folder to the Hugging Face hub."""
    from likewise import verbs

    done = verbs.push(folder, repository, private=private, dry_run=dry_run)
    if as_json:
        print_json(vars(done) | {"dry_run": dry_run})
        return
    if dry_run:
        for name, length in done.files.items():
            output.print(f"{length:>14,}  {name}", soft_wrap=True)
    size = f"{len(done.files)} files, {sum(done.files.values()) / 1e6:,.1f} MB"
    what = f"would be uploaded to {done.repository}" if done.address is None else f"uploaded: {done.address}"
    output.print(f"{size} {what}", soft_wrap=True)
    if not done.token:
        output.print("note: there is no token; set HF_TOKEN, or run `hf auth login`", soft_wrap=True)
    for note in done.notes:
        output.print(f"note: {note}", soft_wrap=True)
