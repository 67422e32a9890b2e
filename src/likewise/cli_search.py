"""The verbs that make a trained model useful: embed a source, index it, search it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from likewise.terminal import Device, EngineOption, Json, OnBad, output, print_json

__all__ = ["app"]

app = typer.Typer()

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run, or of a model.")]
SourceName = Annotated[str, typer.Argument(help="A name, a path or a hub id.")]
Split = Annotated[str | None, typer.Option(help="One split of the source; default all.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Images at a time.")]


def _as_typed(value: str | None) -> Any:
    """A choice that nobody has checked yet: what is called names the ones there are."""
    return value


def _bad(items: Any) -> list[dict[str, Any]]:
    return [vars(item) for item in items]


@app.command()
def embed(
    run: RunFolder,
    source: SourceName,
    out: Annotated[
        str,
        typer.Option(
            "-o", "--out", metavar="FILE", help="A new Parquet file; NAME.lance a Lance table; ray: a URI too."
        ),
    ],
    split: Split = None,
    batch_size: BatchSize = 256,
    on_bad_image: OnBad = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
    device: Device = "auto",
    engine: EngineOption = "local",
    jobs: Annotated[int | None, typer.Option(min=1, help="With ray: processes that embed.")] = None,
    as_json: Json = False,
) -> None:
    """Embed all images of a source into one Parquet file.

    Interrupted, the same command goes on.
    """
    from likewise import verbs

    written = verbs.embed(
        run,
        source,
        out,
        split=split,
        batch_size=batch_size,
        on_bad_image=_as_typed(on_bad_image or "stop"),
        overwrite=overwrite,
        device=device,
        engine=engine,
        jobs=jobs,
    )
    if as_json:
        print_json(vars(written) | {"bad_images": _bad(written.bad_images)})
        return
    resumed = f", {written.resumed_from:,} of them before" if written.resumed_from else ""
    output.print(
        f"{written.path}: {written.images:,} images × {written.embedding_dim}{resumed}, {written.seconds:,.1f} s, "
        f"{written.images_per_second:,.0f} images/s",
        soft_wrap=True,
    )
    if written.bad_images:
        output.print(f"{len(written.bad_images):,} bad images left out: {written.bad_images_file}", soft_wrap=True)


@app.command()
def index(
    run: RunFolder,
    source: SourceName,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="An index, new or of the same model.")],
    split: Split = None,
    distance: Annotated[str | None, typer.Option(help="cosine or euclidean; default as trained.")] = None,
    recall: Annotated[
        float | None, typer.Option(help="Build an approximate index that finds this share of the 10 nearest.")
    ] = None,
    thumbnails: Annotated[bool, typer.Option(help="Keep a small picture of each image.")] = True,
    batch_size: BatchSize = 256,
    on_bad_image: OnBad = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Embed all images of a source into an index to search.

    Images that are there already are left alone; interrupted, the same command goes on.
    """
    from likewise import verbs

    made, added = verbs.index(
        run,
        source,
        out,
        split=split,
        distance=_as_typed(distance),
        recall=recall,
        pictures=thumbnails,
        batch_size=batch_size,
        on_bad_image=_as_typed(on_bad_image or "stop"),
        device=device,
    )
    approximate = made.manifest.approximate
    if as_json:
        print_json(
            {
                "index": str(made.folder),
                "images": len(made),
                "written": added.written,
                "kept": added.kept,
                "distance": made.manifest.distance,
                "model": made.manifest.model,
                "approximate": None if approximate is None else approximate.model_dump(),
                "bad_images": _bad(added.bad_images),
            }
        )
        return
    kept = f", {added.kept:,} were there" if added.kept else ""
    output.print(
        f"{made.folder}: {len(made):,} images, {added.written:,} new{kept}, {made.manifest.distance} distance",
        soft_wrap=True,
    )
    if approximate is not None:
        output.print(
            f"approximate search: recall@10 {approximate.recall:.4f} on {approximate.sample} rows as queries, "
            f"{approximate.probes} of {approximate.partitions} partitions",
            soft_wrap=True,
        )
    for item in added.bad_images:
        output.print(f"left out: {item.item} is {item.reason}", soft_wrap=True)


@app.command()
def search(
    index: Annotated[Path, typer.Argument(metavar="INDEX|RUN", help="An index, or a run, whose images are indexed.")],
    image: Annotated[Path | None, typer.Option(help="An image file.")] = None,
    text: Annotated[str | None, typer.Option(help="Words.")] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many.")] = 5,
    filter: Annotated[str | None, typer.Option(help="SQL, such as \"class_name = 'boot'\".")] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Look at every embedding.")] = False,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Find the images that are most alike to an image or to words.

    The images of a run are indexed the first time.
    """
    from likewise.index import open_index

    hits = open_index(index, device=device).search(image=image, text=text, k=k, filter=filter, exact=exact or None)
    if as_json:
        print_json([hit.as_dict() for hit in hits])
        return
    captioned = any(hit.caption for hit in hits)
    table = Table("", "distance" if all(hit.score is None for hit in hits) else "score", "id", "class")
    if captioned:
        table.add_column("caption")
    for rank, hit in enumerate(hits, start=1):
        number = hit.distance if hit.score is None else hit.score
        table.add_row(
            str(rank), f"{number:.4f}", hit.id, hit.class_name or "", *([hit.caption or ""] if captioned else [])
        )
    output.print(table)
