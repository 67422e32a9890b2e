"""Which pictures a run has, from its numbers alone: map of the space, recall@k, confusion matrix, training curves.

The pictures that show images stand in ``image_pictures.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from likewise.evaluation import EmbeddedSplit, pair_similarities
from likewise.report.figures.confusion import WITH_NUMBERS, confusion_matrix, draw_confusion, most_confused
from likewise.report.figures.embedding import draw_embedding
from likewise.report.figures.loss_curves import draw_loss_curves
from likewise.report.figures.names import class_name
from likewise.report.figures.recall_curve import draw_recall_curve
from likewise.report.figures.similarities import SimilarityPanel, draw_similarities
from likewise.report.picture import Picture
from likewise.report.projection import METHOD_WORDS, Projection, projected
from likewise.report.wording import count, percent

if TYPE_CHECKING:
    from likewise.training.run import Run

MOST_K = 10
IN_ORDER = (
    "In order is the share of comparisons in which a pair of one class is more alike than a pair of different classes: 50 % is "
    "chance, and at 100 % one threshold tells same from different."
)


def baseline_lines(evaluation: Mapping[str, Any], dimension: int) -> dict[str, float]:
    """The untrained 1-NN accuracies of a run under the names that pictures use.

    Example:
        >>> baseline_lines({"baselines": {"raw_pixels_knn1_accuracy": 0.849}}, 10)
        {'raw pixels, 1-NN': 0.849}
    """
    baselines = evaluation.get("baselines") or {}
    names = {"raw_pixels_knn1_accuracy": "raw pixels, 1-NN", "pca_knn1_accuracy": f"PCA to {dimension}, 1-NN"}
    return {text: float(baselines[name]) for name, text in names.items() if baselines.get(name) is not None}


def test_records(run: Run) -> pa.Table | None:
    """The table behind the numbers, or None for a run that was measured without labels."""
    return run.records() if (run.folder / "records" / "test.parquet").is_file() else None


def column(records: pa.Table | None, name: str) -> NDArray[Any] | None:
    """A column as an array; None where it is missing or has empty rows."""
    if records is None or name not in records.column_names or records[name].null_count or len(records) == 0:
        return None
    return np.asarray(records[name].to_numpy())


def numeric_pictures(run: Run, records: pa.Table | None) -> list[Picture]:
    """All pictures of a run that need no images."""
    baselines = baseline_lines(run.evaluation, run.recipe.embedding_dim)
    pictures = []
    if (run.folder / "embeddings" / "test.parquet").is_file():
        test = run.embeddings("test")
        pictures += [_map(run, test), *_similarities(test)]
    pictures += [*_confusion(run, records), *_recall(run, records, baselines)]
    return [*pictures, *_losses(run, baselines)]


def _map(run: Run, test: EmbeddedSplit) -> Picture:
    options = run.recipe.evaluation
    view = projected(run.folder, test, method=options.projection, most=options.projection_points)
    names = tuple(run.evaluation.get("class_names") or ())
    itself = view.method == "itself"
    method = METHOD_WORDS[view.method]
    shown = count(len(view.points), "test image") + ("" if len(view.points) == view.total else f" of {view.total:,}")
    title = "The embedding itself" if itself else f"{method} of the {view.dimension}-D embedding"
    reading = {
        "itself": "The axes are the two numbers that the network gives each image: distances are what the objective "
        "shaped.",
        "pca": "PCA shows the two directions of largest variance: a shadow of the space, in which groups may overlap "
        "that are apart.",
    }.get(
        view.method,
        f"{method} keeps neighbours together: that two groups are apart means something, how far apart and how large "
        "they are does not.",
    )
    axis_names = {
        "itself": ("dimension 1", "dimension 2"),
        "pca": ("principal component 1", "principal component 2"),
    }.get(view.method, (f"{method} 1 (no unit)", f"{method} 2 (no unit)"))
    where = "at the median of its points" if view.labels is not None else ""
    words = (
        f"Each point is a test image{', coloured by its class; the name stands ' + where if where else ''}. {reading}"
    )
    return Picture(
        "embedding",
        title,
        f"{shown[0].upper() + shown[1:]}. {words}",
        f"Scatter plot: {title.lower()}, {shown}{_classes_in(view, names)}.",
        partial(
            draw_embedding, view.points, view.labels, names, title=title, subtitle=f"{shown}, one point each",
            axis_names=axis_names, measured_axes=view.method in ("itself", "pca"),
        ),
    )  # fmt: skip


def _similarities(test: EmbeddedSplit) -> list[Picture]:
    found = pair_similarities(test.embeddings, test.labels) if test.labeled else None
    if found is None:
        return []
    shown = count(found.images, "test image") + ("" if found.images == len(test) else f" of {len(test):,}")
    words = f"{shown}, all pairs; in order: {percent(found.auroc)}"
    title = "What it calls alike"
    return [
        Picture(
            "similarities",
            title,
            f"Cosines of the embeddings of all pairs of {shown}, by whether they are of one class. {IN_ORDER}",
            f"Histograms of the cosine of two test images, of one class and of different classes: {words}.",
            partial(draw_similarities, [SimilarityPanel("", words, found)], title=title),
        )
    ]


def _classes_in(view: Projection, names: tuple[str, ...]) -> str:
    if view.labels is None:
        return ""
    present = [class_name(names, int(label)) for label in np.unique(view.labels)]
    return f", in {len(present)} classes" + (f": {', '.join(present)}" if len(present) <= WITH_NUMBERS else "")


def _confusion(run: Run, records: pa.Table | None) -> list[Picture]:
    labels, predictions = column(records, "label"), column(records, "knn1_prediction")
    if labels is None or predictions is None:
        return []
    names = tuple(run.evaluation.get("class_names") or ())
    classes = max(len(names), int(labels.max()) + 1, int(predictions.max()) + 1)
    counts = confusion_matrix(labels.astype(np.int64), predictions.astype(np.int64), classes)
    worst = [
        f"{class_name(names, true)} taken for {class_name(names, said)} ({percent(share, 0)}, {number:,})"
        for true, said, number, share in most_confused(counts, 5)
    ]
    most = f"Most often confused: {'; '.join(worst)}." if worst else "No test image was confused."
    return [
        Picture(
            "confusion",
            "Which classes are confused",
            "A row is a true class, a column what the nearest training image said; numbers are per cent of the row. "
            f"{most}",
            f"Confusion matrix of {classes} classes by 1-NN. {most}",
            partial(draw_confusion, counts, names),
        )
    ]


def recall_curves(run: Run, records: pa.Table | None) -> dict[str, dict[int, float]]:
    """Retrieval recall and class recall for k = 1 … 10, as far as the run has them."""
    retrieval = {int(k): float(v) for k, v in (run.evaluation.get("recall_curve") or {}).items()}
    retrieval = retrieval or _from_metrics(run.metrics, "recall_at_")
    ranks = column(records, "true_class_rank")
    if ranks is not None:
        by_class = {k: float(np.mean((ranks >= 1) & (ranks <= k))) for k in range(1, MOST_K + 1)}
    else:
        by_class = _from_metrics(run.metrics, "class_recall_at_")
    named = {
        "retrieval recall@k: a right image among the k nearest": retrieval,
        "class recall@k: the class among the k most voted": by_class,
    }
    return {name: curve for name, curve in named.items() if curve}


def _from_metrics(metrics: Mapping[str, float], prefix: str) -> dict[int, float]:
    found = {name.removeprefix(prefix): value for name, value in metrics.items() if name.startswith(prefix)}
    return {int(k): float(value) for k, value in sorted(found.items()) if k.isdigit()}


def _recall(run: Run, records: pa.Table | None, baselines: Mapping[str, float]) -> list[Picture]:
    curves = recall_curves(run, records)
    if not curves:
        return []
    ends = [
        f"{name.partition(':')[0]} from {percent(curve[min(curve)])} at k = {min(curve)} "
        f"to {percent(curve[max(curve)])} at k = {max(curve)}"
        for name, curve in curves.items()
    ]
    return [
        Picture(
            "recall_at_k",
            "recall@k",
            "Two quantities carry this name. Retrieval recall: at least one of the k nearest images is of the query's "
            "class, so it grows with more tries. Class recall: the true class is among the k most probable of the "
            "neighbours' vote, a top-k accuracy. The dashed and dotted lines are 1-NN accuracies without training.",
            f"Line plot of recall at k: {'; '.join(ends)}.",
            partial(draw_recall_curve, curves, baselines),
        )
    ]


def _losses(run: Run, baselines: Mapping[str, float]) -> list[Picture]:
    if not run.history:
        return []
    last = run.history[-1]
    ends = ", ".join(
        f"{words} {last[name]:.4g}"
        for name, words in (("train_loss", "training loss"), ("val_loss", "validation loss"))
        if isinstance(last.get(name), int | float)
    )
    return [
        Picture(
            "training",
            "How training went",
            "Loss on the training images and on the validation split after each epoch, and where it was measured the "
            "validation split's 1-NN accuracy and geometry. The 1-NN accuracies of this picture are taken on a sample "
            "during training, the lines without training on the whole test split; an effective rank near 1 or a "
            "spread near 0 is a collapsed space.",
            f"Training curves over {count(len(run.history), 'epoch')}" + (f"; at the end {ends}." if ends else "."),
            partial(draw_loss_curves, run.history, baselines),
        )
    ]
