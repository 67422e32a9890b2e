"""What is searched or served: an index as it is, or the index of a run's own images, which is made the first time."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from likewise.errors import SearchIndexError
from likewise.index.index import Index
from likewise.index.manifest import Manifest
from likewise.models import place
from likewise.models.identity import model_id
from likewise.training import Run
from likewise.training.run_folder import working_in

__all__ = ["index_of_run", "open_index"]


def open_index(path: str | os.PathLike[str], *, device: str = "auto", quiet: bool = False) -> Index:
    """The index at a path, or that of the run there, with its model on a device.

    Raises:
        SearchIndexError: there is neither, or it is damaged.
        RunError, ModelError: it is damaged.
    """
    path = Path(path)
    if (path / "index.json").is_file():
        index = Index.open(path)
        place(index.model, device)
        return index
    if (path / "recipe.yaml").is_file():
        return index_of_run(Run.load(path), device=device, quiet=quiet)
    raise SearchIndexError(
        f"{path} is neither an index nor a run.",
        expected="Expected index.json or recipe.yaml in it.",
        advice="Make an index with `likewise index RUN SOURCE -o DIR`, or train a run with `likewise train`.",
    )


def index_of_run(run: Run, *, device: str = "auto", quiet: bool = False) -> Index:
    """The training, validation and test images of a run as an index in its folder ``index/``.

    It is made under another name and renamed when it is whole; a call that was interrupted goes on where it was.

    Raises:
        SearchIndexError: the index there is of another model.
        DatasetError: there is none yet, and the images cannot be had.
        RunError: another process works in the run, or it cannot be written.
    """
    folder, model = run.folder / "index", place(run.model, device)
    if not folder.exists():
        elsewhere = f"Make one elsewhere, `likewise index {run.folder} {run.recipe.data.source} -o DIR`, and give that."
        with working_in(run.folder, elsewhere):
            unfinished = run.folder / ".index"
            if unfinished.exists() and not _is_of(unfinished, model_id(model)):
                shutil.rmtree(unfinished)
            index = Index.open(unfinished, model) if unfinished.exists() else Index.create(unfinished, model)
            data = run.data()
            for split in (data.train, data.validation, data.test):
                index.add(split, existing="keep", quiet=quiet)
            unfinished.rename(folder)
    if not _is_of(folder, model_id(model)):
        raise SearchIndexError(
            f"{folder} is an index of another model than the run's.",
            expected=f"Expected the model {model_id(model)}.",
            advice=f"Move {folder} away: it is made again.",
        )
    return Index.open(folder, model)


def _is_of(folder: Path, model: str) -> bool:
    return Manifest.read(folder).model == model
