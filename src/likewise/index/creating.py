"""The folder of a new index: made beside its place and renamed when it is whole."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from likewise.errors import SearchIndexError
from likewise.index._lance import LanceItems
from likewise.index.manifest import Distance, Manifest
from likewise.index.rows import item_schema
from likewise.index.writing import not_writable
from likewise.models import EmbeddingModel, load_model, save_model
from likewise.models.identity import model_id

__all__ = ["make_folder"]


def make_folder(
    folder: Path,
    model: EmbeddingModel | str | os.PathLike[str],
    distance: Distance | None,
    columns: Mapping[str, type | str],
) -> tuple[Manifest, EmbeddingModel]:
    """Make the folder of an empty index; its manifest, and the model. Arguments and errors as of ``Index.create``."""
    if folder.exists():
        raise SearchIndexError(
            f"{folder} is there already.",
            expected="Expected a new folder.",
            advice="Open it with Index.open, or choose another name.",
        )
    model = model if isinstance(model, EmbeddingModel) else load_model(model)
    further = {name: kind if isinstance(kind, str) else kind.__name__ for name, kind in columns.items()}
    schema = item_schema(model.embedding_dim, further)
    manifest = Manifest(
        model=model_id(model),
        input=model.input,
        embedding_dim=model.embedding_dim,
        distance=distance or ("euclidean" if model.normalize == "never" else "cosine"),
        columns=further,
    )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            save_model(model, beside / "model")
            manifest.write(beside)
            LanceItems.create(beside, schema)
            beside.chmod(0o755)
            beside.rename(folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except (OSError, RuntimeError) as error:
        raise not_writable(folder, error) from error
    return manifest, model
