"""What the verbs do, for Python and for the command line: train and compare with a report, embed and index a source."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from likewise import comparison, report, training
from likewise.comparison import Comparison
from likewise.data import Splits
from likewise.data.source import OnBadImage
from likewise.errors import DatasetError, RunError, SearchIndexError, ServeError
from likewise.export import export, push
from likewise.index import (
    Added,
    Distance,
    EmbeddedFile,
    Index,
    embed_on_ray,
    embed_to_file,
    feed_of_source,
    open_index,
)
from likewise.index.approximate import check_recall
from likewise.launch import launched_rank
from likewise.models import load_model, place
from likewise.recipe import Budget, Recipe
from likewise.training import Run

__all__ = ["compare", "embed", "export", "index", "push", "report_on", "serve", "train"]

logger = logging.getLogger("likewise")


def train(
    recipe: str | Path | Recipe,
    out: str | os.PathLike[str] | None = None,
    *,
    data: str | None = None,
    budget: Budget | None = None,
    seed: int | None = None,
    resume: bool = False,
    quiet: bool = False,
    **overrides: Any,
) -> Run:
    """Train, measure, draw: from a recipe to a run folder with its ``report.html``.

    The arguments and errors are those of ``likewise.training.train``.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp() + "/run"
        >>> run = train("digits-crossentropy", folder, budget="smoke", quiet=True)
        >>> run.metrics["knn1_accuracy"] > 0.5, (run.folder / "report.html").exists()
        (True, True)
    """
    run = training.train(recipe, out, data=data, budget=budget, seed=seed, resume=resume, quiet=quiet, **overrides)
    if launched_rank() == 0 and not (run.folder / "report.html").is_file():
        report.write_run_report(run, run.data())
    return run


def compare(
    recipes: Sequence[str | Path | Recipe],
    *,
    out: str | os.PathLike[str] | None = None,
    seeds: int | Sequence[int] = 3,
    data: str | None = None,
    budget: Budget | None = None,
    **options: Any,
) -> Comparison:
    """Objectives × seeds × conditions, measured, compared and reported; see ``likewise.comparison.compare``.

    The run of the first seed under the easiest condition (the most images, clean labels, known classes) gets a report of its
    own for every recipe.
    """
    result = comparison.compare(recipes, out=out, seeds=seeds, data=data, budget=budget, **options)
    for cell in result.showcase():
        if not (cell / "report.html").is_file():
            run = Run.load(cell)
            report.write_run_report(run, run.data())
    report.write_comparison_report(result.folder)
    return result


def report_on(folder: str | os.PathLike[str]) -> Path:
    """Write the report of a run or of a comparison anew, pictures included where the images can still be had.

    Returns:
        The path of ``report.html``.

    Raises:
        RunError: the folder is neither.
    """
    folder = Path(folder)
    if (folder / "comparison.json").is_file():
        return report.write_comparison_report(folder)
    if not (folder / "recipe.yaml").is_file():
        raise RunError(
            f"{folder} is neither a run nor a comparison.",
            expected="Expected recipe.yaml or comparison.json in it.",
            advice="Give the --out folder of `likewise train` or `likewise compare`.",
        )
    run = Run.load(folder)
    images: Splits | None
    try:
        images = run.data()
    except DatasetError as error:
        logger.warning("the images cannot be had, so the pictures stay as they are: %s", error)
        images = None
    return report.write_run_report(run, images)


def embed(
    run: str | os.PathLike[str],
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    split: str | None = None,
    batch_size: int = 256,
    on_bad_image: OnBadImage = "stop",
    overwrite: bool = False,
    device: str = "auto",
    engine: str = "local",
    jobs: int | None = None,
    quiet: bool = False,
) -> EmbeddedFile:
    """Embed all images of a source into one Parquet file, in bounded memory; interrupted, the same call goes on.

    Args:
        run: folder of a finished run, or of a model.
        source: as ``load_dataset`` takes it.
        out: a new file; see ``likewise.index.embed_to_file`` for its columns. ``NAME.lance`` becomes a Lance table.
        split: one split of the source; by default all.
        batch_size: images at a time.
        on_bad_image: ``stop``, or ``skip`` what cannot be decoded and list it beside the file.
        overwrite: replace a file that is there.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        engine: ``local``, or ``ray``: the same file by a Ray cluster, also to object storage.
        jobs: with ``ray``, actors; by default one for each GPU, or for each core.
        quiet: no progress on standard error.

    Raises:
        ModelError: there is no such model.
        DatasetError: there is no such source, or one of its images is bad.
        RunError: the file is there already, or cannot be written; or there is no such engine.
        Interrupted: SIGINT or SIGTERM came; what is done is kept.
    """
    options: dict[str, Any] = {"batch_size": batch_size, "overwrite": overwrite, "quiet": quiet}
    if engine == "ray":
        return embed_on_ray(
            run, source, out, split=split, on_bad_image=on_bad_image, device=device, jobs=jobs, **options
        )
    if engine != "local" or jobs is not None:
        raise RunError(
            f"The engine is {engine!r} with jobs {jobs}.",
            expected="Expected local, or ray, which alone has jobs.",
            advice="One process embeds on all cores of this machine; use --engine ray for several machines or GPUs.",
        )
    model = place(load_model(run), device)
    feed = feed_of_source(model, source, split=split, on_bad_image=on_bad_image)
    return embed_to_file(model, feed, out, **options)


def index(
    run: str | os.PathLike[str],
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    split: str | None = None,
    on_bad_image: OnBadImage = "stop",
    distance: Distance | None = None,
    recall: float | None = None,
    device: str = "auto",
    quiet: bool = False,
    **options: Any,
) -> tuple[Index, Added]:
    """Embed all images of a source into an index, a new one or one of the same model; images that are there are left alone.

    Args:
        run, source, split, on_bad_image, device, quiet: as for ``embed``.
        out: folder of the index.
        distance: of a new index: ``cosine`` or ``euclidean``; by default the one that the model was trained for.
        recall: build an approximate index with this recall@10, whatever the size.
        **options: of ``Index.add``.

    Raises:
        ModelError: there is no such model.
        DatasetError: there is no such source, or one of its images is bad.
        SearchIndexError: ``out`` is of another model or cannot be written.
        Interrupted: SIGINT or SIGTERM came; the rows so far are there, and the same call goes on.
    """
    if distance not in (None, "cosine", "euclidean"):
        raise SearchIndexError(f"distance is {distance!r}.", expected="Expected cosine or euclidean.")
    if recall is not None:
        check_recall(recall)  # before the model and the source are opened
    model = place(load_model(run), device)
    feed = feed_of_source(model, source, split=split, on_bad_image=on_bad_image)
    found = Index.open(out, model) if Path(out).exists() else Index.create(out, model, distance=distance)
    if distance not in (None, found.manifest.distance):
        raise SearchIndexError(
            f"{out} measures the {found.manifest.distance} distance, and {distance} was asked for.",
            expected="An index has one distance.",
            advice="Leave it out, or make a new index.",
        )
    return found, found.add(feed, existing="keep", recall=recall, quiet=quiet, **options)


def serve(
    path: str | os.PathLike[str],
    *others: str | os.PathLike[str],
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    device: str = "auto",
    started: Callable[[str], None] = lambda address: None,
) -> None:
    """Serve an index over HTTP until SIGINT or SIGTERM.

    Args:
        path: of an index; or of a run, whose images are then indexed into its folder ``index/``, once.
        others: of further ones over the same images, for the explorer page to compare with.
        host: address to listen at; one that is not of this machine alone needs a token.
        port: 0 takes any that is free.
        token: that every request must carry.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        started: called with the address of the server when it can be asked.

    Raises:
        ServeError: the address cannot be had, a token is missing, or the extra ``serve`` is not installed.
        SearchIndexError: there is no index and no run.
    """
    try:
        from likewise.serve import create_app, listen, run_server
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("likewise"):
            raise
        raise ServeError(
            f"The server needs {error.name}, which is not installed.",
            expected="Expected the extra serve.",
            advice='Install it: pip install "likewise[serve]".',
        ) from error
    # The address first: what is wrong with it is said before anything is embedded.
    listener = listen(host, port, token)
    with listener:
        index, *compared = (open_index(each, device=device) for each in (path, *others))
        app = create_app(index, others=compared, token=token, hosts=[host])
        run_server(app, listener, started)
