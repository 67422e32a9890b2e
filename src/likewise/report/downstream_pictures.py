"""Pictures of what an embedding is good for, one for each protocol that the run was asked to measure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from likewise.report.figures.confusion import draw_confusion
from likewise.report.figures.image_cards import Card, draw_image_cards
from likewise.report.figures.image_rows import draw_image_rows
from likewise.report.figures.names import class_name
from likewise.report.figures.share_rows import ShareRow, draw_share_rows
from likewise.report.figures.sheet import Pixels
from likewise.report.picture import Picture
from likewise.report.wording import count, percent

if TYPE_CHECKING:
    from likewise.data import ImageDataset, Splits
    from likewise.training.run import Run

MOST_CARDS = 12
_MOST_CLASSES = 30  # rows of a picture


def downstream_pictures(run: Run, data: Splits | None) -> list[Picture]:
    """The pictures of ``evaluation.json``'s ``downstream``; none where no protocol was asked for."""
    found = run.evaluation.get("downstream") or {}
    names = tuple(run.evaluation.get("class_names") or ())
    draw: dict[str, Callable[[Mapping[str, Any]], Picture]] = {
        "few_labels": _few_labels,
        "clustering": partial(_clustering, run, names),
        "anomaly": partial(_anomaly, names),
        "components": partial(_components, data),
        "duplicates": partial(_duplicates, data),
        "label_issues": partial(_label_issues, run, data, names),
    }
    return [draw[name](details) for name, details in found.items() if name in draw]


class _Images:
    """Images of a split by their ids."""

    def __init__(self, dataset: ImageDataset) -> None:
        self._dataset = dataset
        self._at = {name: at for at, name in enumerate(dataset.ids)}

    def __contains__(self, name: str) -> bool:
        return name in self._at

    def take(self, names: Sequence[str]) -> Pixels:
        import torch

        positions = torch.tensor([self._at[name] for name in names], dtype=torch.int64)
        taken: Pixels = self._dataset.take(positions).cpu().numpy()
        return taken


def _few_labels(details: Mapping[str, Any]) -> Picture:
    rows = [
        ShareRow(
            f"{100 * row['amount']:g} % ({row['images']:,} images)", row["mean"], *(row["interval"] or (None, None))
        )
        for row in details["rows"]
    ]
    said = "; ".join(f"{row.name}: {percent(row.value)}" for row in rows)
    return Picture(
        "few_labels",
        "With few labels",
        "The linear probe fitted on a share of each class's training labels, drawn five times; bars are 95 % intervals over "
        "the draws. The embedding is the same each time.",
        f"Linear probe accuracy with few labels. {said}.",
        partial(draw_share_rows, rows, title="With few labels", measure="linear probe accuracy, test split (%)"),
    )


def _clustering(run: Run, names: Sequence[str], details: Mapping[str, Any]) -> Picture:
    counts = np.array(details["counts"], dtype=np.int64)
    accuracy = percent(float(np.trace(counts) / counts.sum()))
    return Picture(
        "clusters",
        "Clusters found without labels",
        "Spherical k-means on the test embeddings, as many clusters as classes. A row is a true class, a column the cluster "
        f"that fits the class best, one to one. {accuracy} of the images lie in the cluster of their class; normalised mutual "
        f"information {run.metrics.get('clustering_nmi', float('nan')):.3f}.",
        f"Matrix of {len(counts)} classes by their clusters; {accuracy} on the diagonal.",
        partial(draw_confusion, counts, names, decided_by="cluster matched with it"),
    )


def _anomaly(names: Sequence[str], details: Mapping[str, Any]) -> Picture:
    found = sorted(details["rows"], key=lambda row: -row["auroc"])
    shown = found if len(found) <= _MOST_CLASSES else [*found[: _MOST_CLASSES // 2], *found[-_MOST_CLASSES // 2 :]]
    left_out = f" Of {len(found)} classes the {len(shown) // 2} best and worst." if len(shown) < len(found) else ""
    rows = [ShareRow(class_name(names, row["class"]), row["auroc"]) for row in shown]
    return Picture(
        "anomalies",
        "One class normal, all others strange",
        "Each class in turn is what is known; a test image is the stranger, the farther its fifth nearest training image of "
        "that class. The area under the ROC curve is the chance that an image of another class looks stranger than one of the "
        f"class; 50 % is guessing, the dashed line.{left_out}",
        f"AUROC by class, from {rows[0].name} {percent(rows[0].value)} to {rows[-1].name} {percent(rows[-1].value)}.",
        partial(
            draw_share_rows, rows, title="One class against all others", measure="area under the ROC curve (%)",
            guessing=0.5,
        ),
    )  # fmt: skip


def _components(data: Splits | None, details: Mapping[str, Any]) -> Picture:
    make: Callable[[], Figure] | None = None
    if data is not None:
        images = _Images(data.test)
        rows = [
            (f"component {at + 1}", images.take([name for name in row["ids"] if name in images]))
            for at, row in enumerate(details["rows"])
        ]
        make = partial(
            draw_image_rows, rows, title="Independent components", subtitle="the test images that activate each most"
        )
    return Picture(
        "components",
        "Independent components",
        "Independent component analysis looks for directions of the space whose values have nothing to do with each other. The "
        "images of a row activate one component most; what they share, it stands for."
        + ("" if details["converged"] else " The search did not converge: take these with care."),
        f"Rows of test images for {count(len(details['rows']), 'component')}.",
        make,
        photos=True,
    )


def _duplicates(data: Splits | None, details: Mapping[str, Any]) -> Picture:
    make: Callable[[], Figure] | None = None
    if data is not None:
        test, train = _Images(data.test), _Images(data.train)
        cards = [
            Card(
                (test.take([row["test"]])[0], train.take([row["train"]])[0]),
                row["test"],
                f"distance {row['distance']:.1e}",
            )
            for row in details["rows"][:MOST_CARDS]
            if row["test"] in test and row["train"] in train
        ]
        make = partial(
            draw_image_cards, cards, title="Train images in the test split?",
            subtitle="left: test image · right: its copy in train, if it is one", none="No pair is near enough.",
        )  # fmt: skip
    return Picture(
        "leaks",
        "Test images that train may hold too",
        f"{count(details['pairs'], 'pair')} of a test and a training image are nearer than a tenth of the median distance "
        "to the nearest neighbour (cosine). Near in the embedding is not the same image by itself: look at them.",
        f"Pairs of test and training images, {details['pairs']:,} below the threshold.",
        make,
        photos=True,
    )


def _label_issues(run: Run, data: Splits | None, names: Sequence[str], details: Mapping[str, Any]) -> Picture:
    make: Callable[[], Figure] | None = None
    if data is not None:
        test = _Images(data.test)
        cards = [
            Card(
                (test.take([row["id"]])[0],),
                f"{class_name(names, row['suggested'])}?",
                f"label: {class_name(names, row['label'])}",
            )
            for row in details["rows"][:MOST_CARDS]
            if row["id"] in test
        ]
        make = partial(
            draw_image_cards, cards, title="Labels that may be wrong", subtitle="bold: what the neighbours say",
            none="No label is suspected.",
        )  # fmt: skip
    recall = run.metrics.get("planted_labels_recall")
    known = (
        f" Of wrong labels planted in 5 % of these images, {percent(recall)} are found." if recall is not None else ""
    )
    return Picture(
        "label_issues",
        "Labels that may be wrong",
        "Test images whose neighbours in the test split speak for another class more clearly than for their label, the "
        f"surest first.{known}",
        "Test images with their label and the class that their neighbours suggest.",
        make,
        photos=True,
    )
