"""What the stages of a run did, as pictures: the space after each of them, and what is confused before and after.

Both come from what every stage keeps in its own folder, the test embeddings and the record per test image. A map is kept
in its stage's folder like that of the run, so a report that is written again pays nothing; the first one pays a projection
for each stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from likewise.evaluation import EmbeddedSplit, paired_bootstrap
from likewise.report.figures.confusion import confusion_matrix
from likewise.report.figures.confusion_pair import Matrix, draw_confusion_pair
from likewise.report.figures.embedding_panels import Panel, draw_embedding_panels
from likewise.report.figures.names import class_name
from likewise.report.picture import Picture
from likewise.report.projection import projected
from likewise.report.run_pictures import column, test_records
from likewise.report.stages import Stage
from likewise.report.wording import count, duration, percent

MOST_CHANGES = 3
"""Classes whose change is told in words."""


def stage_pictures(stages: Sequence[Stage]) -> list[Picture]:
    """Both pictures, as far as two stages were measured on the same test images; none for a run without stages."""
    return [*_spaces(stages), *_confusions(stages)]


def _spaces(stages: Sequence[Stage]) -> list[Picture]:
    measured: list[tuple[Stage, EmbeddedSplit]] = [
        (stage, stage.run.embeddings("test")) for stage in stages if _is_there(stage, "embeddings")
    ]
    measured = [(stage, split) for stage, split in measured if split.ids == measured[-1][1].ids]
    if len(measured) < 2 or measured[-1][0] is not stages[-1]:
        return []
    names = _class_names(stages)
    options = stages[-1].run.recipe.evaluation
    panels, shown = [], 0
    for stage, split in measured:
        seen = projected(
            stage.run.folder, split, method=options.projection, most=options.projection_points
        )  # as in the picture of the run's own embedding: with the same seed the same test images
        panels.append(Panel(stage.name, _words(stage, seen.words), seen.points, seen.labels))
        shown = len(seen.points)
    said = "; ".join(f"{panel.label}, {panel.words}" for panel in panels)
    return [
        Picture(
            "stage_spaces",
            "The space after each stage",
            f"The same {count(shown, 'test image')} in every panel, in the same colours: what the model embeds them to after "
            "each stage. The layer behind the encoder is trained in a stage whose encoder is frozen, so that the space moves "
            "all the same. In a projection only neighbourhoods mean something: neither axes nor distances between groups do.",
            f"Scatter plots of {count(shown, 'test image')}, one per stage: {said}.",
            partial(draw_embedding_panels, panels, names, title="The space after each stage"),
        )
    ]


def _words(stage: Stage, how: str) -> str:
    accuracy = stage.run.metrics.get("knn1_accuracy")
    words = [how]
    words += [] if accuracy is None else [f"1-NN {percent(accuracy)}"]
    words += [] if stage.seconds is None else [duration(stage.seconds)]
    return " · ".join(words)


def _confusions(stages: Sequence[Stage]) -> list[Picture]:
    found = [(stage, *said) for stage in stages if (said := _decisions(stage)) is not None]
    if len(found) < 2 or found[-1][0] is not stages[-1]:
        return []
    (first, ids, labels, before), (last, same, _, after) = found[0], found[-1]
    if not ids.equals(same):
        return []
    names = _class_names(stages)
    classes = max(len(names), 1 + int(max(each.max() for each in (labels, before, after))))
    right = [each == labels for each in (before, after)]
    matrices = [
        Matrix(
            "after " + stage.name if stage is first else f"at {stage.name}",
            f"1-NN {percent(float(hits.mean()))}",
            confusion_matrix(labels, said, classes),
        )
        for stage, said, hits in zip((first, last), (before, after), right, strict=True)
    ]
    change = paired_bootstrap(right[1], right[0])
    words = (
        f"1-NN accuracy goes from {percent(float(right[0].mean()))} to {percent(float(right[1].mean()))}: "
        f"{100 * change.difference:+.1f} points, 95 % interval {100 * change.low:+.1f} to {100 * change.high:+.1f} over test "
        "images in pairs" + ("." if change.supported else ", which does not say that it changed.")
    )
    return [
        Picture(
            "stage_confusion",
            f"What is confused after {first.name} and at {last.name}",
            "A row is a true class, a column what the nearest training image said, in both by the embedding alone; numbers are "
            f"per cent of the row. {words}{_changes(labels, right[0], right[1], names)}",
            f"Two confusion matrices of {count(classes, 'class')} by 1-NN, after {first.name} and at {last.name}. {words}",
            partial(draw_confusion_pair, matrices[0], matrices[1], names),
        )
    ]


def _decisions(stage: Stage) -> tuple[pa.ChunkedArray, NDArray[np.int64], NDArray[np.int64]] | None:
    """Ids, labels and what the nearest training image said; None where that was not measured."""
    records = test_records(stage.run)
    labels, said = column(records, "label"), column(records, "knn1_prediction")
    if records is None or labels is None or said is None:
        return None
    return records["id"], labels.astype(np.int64), said.astype(np.int64)


def _changes(
    labels: NDArray[np.int64], before: NDArray[np.bool_], after: NDArray[np.bool_], names: Sequence[str]
) -> str:
    """The classes whose share of right decisions changed most and beyond chance, as a sentence; empty where none did."""
    found = []
    for label in np.unique(labels):
        own = labels == label
        change = paired_bootstrap(after[own], before[own])
        if change.supported:
            shares = (percent(float(right[own].mean()), 0) for right in (before, after))
            found.append((abs(change.difference), f"{class_name(names, int(label))} from {' to '.join(shares)}"))
    found.sort(key=lambda each: -each[0])
    told = "; ".join(words for _, words in found[:MOST_CHANGES])
    return f" Most changed of the classes whose own interval excludes zero: {told}." if told else ""


def _is_there(stage: Stage, what: str) -> bool:
    path: Path = stage.run.folder / what / "test.parquet"
    return path.is_file()


def _class_names(stages: Sequence[Stage]) -> tuple[str, ...]:
    return tuple(stages[-1].run.evaluation.get("class_names") or ())
