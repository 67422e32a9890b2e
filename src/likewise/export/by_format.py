"""``likewise export``: one verb, a format for each tool; what a format does not know is refused, not passed over."""

from __future__ import annotations

import os
from pathlib import Path

from likewise.data.source import OnBadImage
from likewise.errors import RunError
from likewise.export.atlas import export_atlas
from likewise.export.hugging_face import export_hugging_face
from likewise.export.new_folder import Exported
from likewise.export.onnx_folder import export_onnx
from likewise.export.projector import export_projector
from likewise.index import Feed, feed_of_dataset, feed_of_source
from likewise.models import EmbeddingModel, load_model, place
from likewise.training import Run
from likewise.training.run import SPLITS

__all__ = ["SETTINGS", "export"]

#: The formats, and the settings that each has.
SETTINGS: dict[str, tuple[str, ...]] = {
    "hf": (),
    "sentence-transformers": (),
    "onnx": ("int8",),
    "atlas": ("data", "split", "projection"),
    "projector": ("data", "split"),
}


def export(
    run: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    format: str = "hf",
    int8: bool = False,
    data: str | os.PathLike[str] | None = None,
    split: str | None = None,
    projection: str = "tsne",
    on_bad_image: OnBadImage = "stop",
    device: str = "auto",
    quiet: bool = False,
) -> Exported:
    """Write the model of a run, or a map of its embeddings, in a form that other tools take.

    Args:
        run: folder of a finished run; for ``atlas`` and ``projector`` with ``data`` a model folder will do.
        out: a new folder; for ``atlas`` a new Parquet file; by default beside the run, named after it and the format.
        format: ``hf``, a Hugging Face folder with a model card; ``sentence-transformers``, the same, and an error where stock
            modules cannot express the model; ``onnx``; ``atlas``, for Embedding Atlas; ``projector``, for TensorBoard.
        int8: of ``onnx``: write 8-bit graphs too and measure what they lose.
        data: of ``atlas`` and ``projector``: the images to show, any source; by default those of the run.
        split: of these: one split; by default the run's test split, or all of ``data``.
        projection: of ``atlas``: ``tsne``, ``umap`` or ``pca``.
        on_bad_image: of ``data``: ``stop`` or ``skip``.
        device: of ``atlas`` and ``projector``: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        quiet: no progress on standard error.

    Raises:
        RunError: no such run or format, a setting of another format, or ``out`` is there already or cannot be written.
        ModelError: the model cannot be expressed in that form, or the form does not give what the model gives.
        DatasetError: the images cannot be had.
    """
    given = {"int8": int8, "data": data is not None, "split": split is not None, "projection": projection != "tsne"}
    allowed = SETTINGS.get(format)
    if allowed is None:
        raise RunError(f"--format {format} is not known.", expected=f"Expected {', '.join(SETTINGS)}.")
    for name in given:
        if given[name] and name not in allowed:
            owners = " or ".join(other for other, settings in SETTINGS.items() if name in settings)
            raise RunError(f"--{name} says nothing of --format {format}.", expected=f"It is for --format {owners}.")
    if out is None:
        folder = Path(run).resolve()
        out = folder.with_name(f"{folder.name}-{format}{'.parquet' if format == 'atlas' else ''}")
    match format:
        case "onnx":
            return export_onnx(Run.load(run), out, int8=int8)
        case "atlas" | "projector":
            model, feed, columns = _shown(run, data, split, on_bad_image)
            place(model, device)
            if format == "projector":
                return export_projector(model, feed, out, quiet=quiet)
            return export_atlas(model, feed, out, projection=projection, columns=columns, quiet=quiet)
        case _:
            return export_hugging_face(Run.load(run), out, stock_required=format == "sentence-transformers")


def _shown(
    run: str | os.PathLike[str], data: str | os.PathLike[str] | None, split: str | None, on_bad_image: OnBadImage
) -> tuple[EmbeddingModel, Feed, dict[str, dict[str, str]]]:
    """The model, the images to show, and what the run's records say of them: column → id → text."""
    if data is not None:
        model = load_model(run)
        return model, feed_of_source(model, data, split=split, on_bad_image=on_bad_image), {}
    opened = Run.load(run)
    if split not in (None, *SPLITS):
        raise RunError(f"--split {split} is not known.", expected=f"Expected {', '.join(SPLITS)}.")
    feed = feed_of_dataset(getattr(opened.data(), split or "test"))
    columns: dict[str, dict[str, str]] = {}
    names = opened.model.class_names or tuple(opened.evaluation.get("class_names") or ())
    if split in (None, "test") and (opened.folder / "records" / "test.parquet").is_file():
        records = opened.records()
        if "knn1_prediction" in records.column_names:
            ids, predicted = records["id"].to_pylist(), records["knn1_prediction"].to_pylist()
            right = [label == other for label, other in zip(records["label"].to_pylist(), predicted, strict=True)]
            columns["prediction"] = {one: str(names[label]) for one, label in zip(ids, predicted, strict=True)}
            columns["verdict"] = {one: "right" if yes else "wrong" for one, yes in zip(ids, right, strict=True)}
    return opened.model, feed, columns
