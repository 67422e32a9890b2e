"""Which pictures of a run show images: the training sheet, pairs, queries with neighbours, the worst errors.

Without the data at hand the words remain and a file that was drawn earlier is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from likewise.report.figures.names import class_name
from likewise.report.figures.neighbors import choose_queries, draw_neighbors
from likewise.report.figures.pairs import choose_pairs, draw_pairs
from likewise.report.figures.training_images import choose_training_images, draw_training_images
from likewise.report.figures.worst_errors import choose_worst_errors, draw_worst_errors
from likewise.report.picture import Picture
from likewise.report.run_pictures import column
from likewise.report.run_summary import images_learned_from
from likewise.report.wording import count

if TYPE_CHECKING:
    from likewise.data import ImageDataset, Splits
    from likewise.training.run import Run

PAIR_OBJECTIVES = frozenset({"contrastive"})
"""Objectives whose only label is same or different though they form the pairs themselves, inside the batch."""

AMONG_TRAINING, AMONG_TEST = "neighbors", "test_neighbors"  # columns of the records

Positions = NDArray[np.int64]


def image_pictures(run: Run, data: Splits | None, records: pa.Table | None) -> list[Picture]:
    """All pictures of a run that show images; ``draw`` is None where they cannot be drawn now."""
    names = tuple(run.evaluation.get("class_names") or ())
    looked_up = None if data is None or records is None else _Lookup(data, records)
    return [
        *_neighbors(names, records, looked_up),
        *_worst(names, records, looked_up),
        _training(run, data, names),
        *_pairs(run, data, names),
    ]


def _images(dataset: ImageDataset, positions: Positions) -> NDArray[np.uint8]:
    taken: NDArray[np.uint8] = dataset.take(torch.from_numpy(np.ascontiguousarray(positions))).cpu().numpy()
    return taken


def _labels(dataset: ImageDataset) -> Positions | None:
    return None if dataset.labels is None else dataset.labels.cpu().numpy().astype(np.int64)


class _Lookup:
    """From the rows of ``records`` to positions in the data, for rows whose images are all there.

    Neighbours are training images; those of classes that training has not seen are other test images.
    """

    def __init__(self, data: Splits, records: pa.Table) -> None:
        self.data = data
        self.records = records
        listed = _neighbor_column(records)
        self.gallery = data.test if listed == AMONG_TEST else data.train
        test = {name: at for at, name in enumerate(data.test.ids)}
        place = test if listed == AMONG_TEST else {name: at for at, name in enumerate(data.train.ids)}
        self.query = np.array([test.get(str(name), -1) for name in records["id"].to_pylist()], dtype=np.int64)
        lists: list[Sequence[str] | None] = records[listed].to_pylist() if listed else []
        width = min((len(row) for row in lists if row), default=0)
        self.neighbors = np.array(
            [[place.get(str(name), -1) for name in (row or [""] * width)[:width]] for row in lists],
            dtype=np.int64,
        ).reshape(len(lists), width)
        complete = self.query >= 0
        if width:
            complete &= (self.neighbors >= 0).all(axis=1)
        self.usable = np.flatnonzero(complete) if width else np.array([], dtype=np.int64)


def _neighbor_column(records: pa.Table) -> str:
    """Where the neighbours are listed; empty where none were looked for."""
    return next((name for name in (AMONG_TRAINING, AMONG_TEST) if name in records.column_names), "")


def _neighbors(names: Sequence[str], records: pa.Table | None, looked_up: _Lookup | None) -> list[Picture]:
    listed = AMONG_TRAINING if records is None else _neighbor_column(records)
    if not listed:
        return []
    labelled = records is None or column(records, "label") is not None
    among = "test images" if listed == AMONG_TEST else "training images"

    def draw(found: _Lookup) -> Picture:
        labels, known = column(found.records, "label"), _labels(found.gallery)
        rows = found.usable
        rows = rows[choose_queries(None if labels is None else labels[rows].astype(np.int64), len(rows))]
        return picture(
            partial(
                draw_neighbors,
                _images(found.data.test, found.query[rows]),
                [_images(found.gallery, found.neighbors[row]) for row in rows],
                None if labels is None else labels[rows].astype(np.int64),
                None if known is None else known[found.neighbors[rows]],
                names,
                among=among,
            )
        )

    def picture(make: Callable[[], Figure] | None) -> Picture:
        return Picture(
            "neighbors",
            "What is found",
            f"Test images drawn at random, one per class while there is room, and the five {among} whose "
            "embeddings are nearest. ✓ in blue: of the same class. ✗ in orange: of another class, named below."
            if labelled
            else f"Test images drawn at random and the five {among} whose embeddings are nearest.",
            f"Rows of one test image followed by its five nearest {among}"
            + (", each marked right or wrong." if labelled else "."),
            make,
            photos=True,
        )

    return [draw(looked_up) if looked_up is not None and len(looked_up.usable) else picture(None)]


def _worst(names: Sequence[str], records: pa.Table | None, looked_up: _Lookup | None) -> list[Picture]:
    words = (
        "Wrong decisions of which the embedding is surest: most of the five nearest neighbours agree on the wrong "
        "class, and the nearest is near. ✗ names what was said. Wrong labels in the data show up here first."
    )
    title, alt = (
        "The most confident errors",
        "Test images beside the training image that misled the nearest-neighbour decision",
    )
    if records is not None and column(records, "knn1_prediction") is None:
        return []
    if records is None or looked_up is None or not len(looked_up.usable):
        return [Picture("worst_errors", title, words, f"{alt}.", None, photos=True)]
    rows = looked_up.usable
    labels, said = column(records, "label"), column(records, "knn1_prediction")
    distances, train_labels = column(records, "knn1_distance"), _labels(looked_up.data.train)
    if labels is None or said is None or distances is None or train_labels is None:
        return []
    found_labels = train_labels[looked_up.neighbors[rows]]
    picked = choose_worst_errors(labels[rows], said[rows], found_labels, distances[rows])
    at = rows[picked]
    agreement = (found_labels[picked] == said[at][:, None]).sum(axis=1).astype(np.int64)
    examples = [f"{class_name(names, int(labels[i]))} taken for {class_name(names, int(said[i]))}" for i in at[:6]]
    draw = partial(
        draw_worst_errors,
        _images(looked_up.data.test, looked_up.query[at]),
        _images(looked_up.data.train, looked_up.neighbors[at, 0]),
        labels[at], said[at], agreement, looked_up.neighbors.shape[1], names,
    )  # fmt: skip
    return [Picture("worst_errors", title, words, f"{alt}: {'; '.join(examples) or 'none'}.", draw, photos=True)]


def _training(run: Run, data: Splits | None, names: Sequence[str]) -> Picture:
    draw = None
    if data is not None and len(data.train):
        shown = data.to_learn_from(run.recipe.data.learn_from)
        labels = _labels(shown)
        chosen = choose_training_images(labels, len(shown))
        images = _images(shown, chosen)
        draw = partial(draw_training_images, images, None if labels is None else labels[chosen], names)
    number = images_learned_from(run)
    of = f" of {count(int(number), 'image')}" if number else ""
    trained = run.metrics.get("train_steps", run.recipe.training.epochs)
    what = (
        "that the model was trained on, before augmentation"
        if trained
        else "of the training split; nothing was trained"
    )
    return Picture(
        "training_images",
        "What it was shown",
        f"A random draw{of} {what}.",
        f"Sheet of training images from {run.recipe.data.source}.",
        draw,
        photos=True,
    )


def _pairs(run: Run, data: Splits | None, names: Sequence[str]) -> list[Picture]:
    objective = run.recipe.objective
    if not (getattr(objective, "draws_pairs", False) or objective.name in PAIR_OBJECTIVES):
        return []
    draw = None
    if data is not None:
        labels = _labels(data.train)
        pairs = choose_pairs(labels) if labels is not None else np.empty((0, 2), dtype=np.int64)
        if labels is None or not len(pairs):
            return []
        draw = partial(
            draw_pairs, _images(data.train, pairs[:, 0]), _images(data.train, pairs[:, 1]), labels[pairs], names
        )
    return [
        Picture(
            "pairs",
            "What it was told",
            "Pairs of training images with their labels. The objective never hears a class's name: only whether the "
            "two images are of the same class. The grey names are for you.",
            "Pairs of training images, half of them labelled same and half different.",
            draw,
            photos=True,
        )
    ]
