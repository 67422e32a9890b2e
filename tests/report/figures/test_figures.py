"""Every figure over what data can be: 1 and 3 channels, 2 and 200 classes, long and hostile names, no labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from likewise.report.figures.confusion import confusion_matrix, draw_confusion, most_confused
from likewise.report.figures.confusion_pair import Matrix, draw_confusion_pair
from likewise.report.figures.embedding import draw_embedding
from likewise.report.figures.label_placement import free_labels, place_labels
from likewise.report.figures.loss_curves import draw_loss_curves
from likewise.report.figures.names import class_name, printable, wrapped
from likewise.report.figures.neighbors import choose_queries, draw_neighbors
from likewise.report.figures.pairs import choose_pairs, draw_pairs
from likewise.report.figures.recall_curve import draw_recall_curve
from likewise.report.figures.sheet import tile
from likewise.report.figures.style import save_figure
from likewise.report.figures.training_images import choose_training_images, draw_training_images
from likewise.report.figures.worst_errors import choose_worst_errors, draw_worst_errors

HOSTILE = ["$\\frac{", "_private", "<script>alert(1)</script>", "", "\u732b\u732b", "a" * 300, "two\nlines", "%s {0}"]


def names_of(kind: str, count: int) -> list[str]:
    if kind == "plain":
        return [f"class {i}" for i in range(count)]
    return [HOSTILE[i % len(HOSTILE)] for i in range(count)]


def drawn(figure: Figure, folder: Path) -> np.ndarray:
    """The pixels of a figure; its words and marks must have left some that are not white."""
    pixels = np.asarray(Image.open(save_figure(figure, folder / "figure.png")).convert("RGB"))
    assert (pixels < 200).any(axis=2).mean() > 0.002
    assert pixels.shape[1] == 792
    assert (pixels[:80] < 90).all(axis=2).sum() > 300, "the title is there"
    return pixels


@pytest.mark.parametrize("kind", ["plain", "hostile"])
@pytest.mark.parametrize(("channels", "classes"), [(1, 2), (3, 200), (4, 10)])
def test_figures_of_images(channels: int, classes: int, kind: str, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(max(40, 2 * classes), dtype=np.int64) % classes
    images = generator.integers(0, 255, (len(labels), channels, 9, 7), dtype=np.uint8)
    names = names_of(kind, classes)
    chosen = choose_training_images(labels, len(labels))
    drawn(draw_training_images(images[chosen], labels[chosen], names), tmp_path)
    pairs = choose_pairs(labels)
    drawn(draw_pairs(images[pairs[:, 0]], images[pairs[:, 1]], labels[pairs], names), tmp_path)
    queries = choose_queries(labels, len(labels))
    found = generator.integers(0, len(labels), (len(queries), 5))
    drawn(
        draw_neighbors(images[queries], [images[row] for row in found], labels[queries], labels[found], names), tmp_path
    )
    said = (labels + 1) % classes
    agreement = np.full(len(labels), 4)
    drawn(draw_worst_errors(images[:12], images[1:13], labels[:12], said[:12], agreement, 5, names), tmp_path)


@pytest.mark.parametrize("kind", ["plain", "hostile"])
@pytest.mark.parametrize("classes", [1, 2, 20, 200])
def test_figures_of_numbers(classes: int, kind: str, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(400, dtype=np.int64) % classes
    points = (generator.normal(size=(classes, 2))[labels] * 9 + generator.normal(size=(400, 2))).astype(np.float32)
    names = names_of(kind, classes)
    drawn(draw_embedding(points, labels, names, title="A map", measured_axes=True), tmp_path)
    counts = confusion_matrix(labels, (labels * 7) % classes, classes)
    drawn(draw_confusion(counts, names), tmp_path)
    before = Matrix("after pretrain", "1-NN 14.0 %", counts)
    drawn(
        draw_confusion_pair(before, Matrix("at the end", "1-NN 100.0 %", np.diag(counts.sum(axis=1))), names), tmp_path
    )


def test_figures_without_labels(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 255, (60, 3, 8, 8), dtype=np.uint8)
    chosen = choose_training_images(None, 60)
    assert len(set(chosen.tolist())) == 48
    drawn(draw_training_images(images[chosen], None, ()), tmp_path)
    queries = choose_queries(None, 60)
    drawn(draw_neighbors(images[queries], [images[:5]] * len(queries), None, None, ()), tmp_path)
    points = generator.normal(size=(60, 2)).astype(np.float32)
    drawn(draw_embedding(points, None, (), title="A map"), tmp_path)


@pytest.mark.parametrize("points", [np.zeros((3, 2)), np.array([[1.0, 2.0]]), np.array([[0, 0], [1, 1], [1e6, 0]] * 1)])
def test_a_map_of_degenerate_points(points: np.ndarray, tmp_path: Path) -> None:
    drawn(
        draw_embedding(points.astype(np.float32), np.zeros(len(points), np.int64), ("only",), title="A map"), tmp_path
    )


def test_right_and_wrong_neighbours_differ_in_colour_and_in_sign(tmp_path: Path) -> None:
    black = np.zeros((1, 1, 8, 8), dtype=np.uint8)
    figures = [
        draw_neighbors(black, [np.repeat(black, 5, axis=0)], np.array([0]), np.full((1, 5), label), ("cat", "dog"))
        for label in (0, 1)
    ]
    words = [" ".join(text.get_text() for text in figure.axes[0].texts) for figure in figures]
    assert words[0].count("✓") == 6  # five neighbours and the line that explains the sign
    assert words[1].count("✗ dog") == 5
    right, wrong = (drawn(figure, tmp_path).reshape(-1, 3) for figure in figures)
    assert (np.abs(right.astype(int) - [0x00, 0x67, 0xB1]).max(axis=1) < 12).sum() > 2000
    assert (np.abs(wrong.astype(int) - [0xC4, 0x45, 0x00]).max(axis=1) < 12).sum() > 2000


def test_loss_curves_show_only_what_was_measured_and_mark_a_collapse(tmp_path: Path) -> None:
    bare = draw_loss_curves([{"epoch": 1, "train_loss": 1.0}, {"epoch": 2, "train_loss": float("nan")}], {})
    assert len(bare.axes) == 1
    assert bare.axes[0].get_lines()[0].get_xdata().tolist() == [1.0]
    full = [
        {"epoch": e, "train_loss": 10.0**-e, "val_loss": 10.0**-e, "val_knn1_accuracy": 0.5, "val_effective_rank": 2.0,
         "val_spread": 0.1, "collapsed": e > 2} for e in range(1, 5)
    ]  # fmt: skip
    figure = draw_loss_curves(full, {"raw pixels, 1-NN": 0.85})
    assert len(figure.axes) == 4  # three panels, one of them with two scales
    assert "collapsed: epoch 3–4" in [text.get_text() for text in figure.axes[0].texts]
    assert figure.axes[0].get_yscale() == "log"
    drawn(figure, tmp_path)
    drawn(draw_loss_curves([], {}), tmp_path)


def test_recall_curve_carries_the_raw_pixel_line(tmp_path: Path) -> None:
    figure = draw_recall_curve({"retrieval": {1: 0.8, 10: 0.9}}, {"raw pixels, 1-NN": 0.849})
    assert any(line.get_ydata()[0] == pytest.approx(84.9) for line in figure.axes[0].get_lines()[1:])
    assert "raw pixels, 1-NN 84.9 %" in [text.get_text() for text in figure.legends[0].get_texts()]
    drawn(figure, tmp_path)


def test_confusion_of_three_images() -> None:
    counts = confusion_matrix(np.array([0, 0, 2]), np.array([0, 1, 2]), 3)
    assert counts.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]
    assert most_confused(counts) == [(0, 1, 1, 0.5)]
    assert counts[0, 0] == 1, "the matrix given is not changed"


def test_pairs_keep_to_their_label_and_never_pair_an_image_with_itself() -> None:
    labels = np.random.default_rng(0).integers(0, 5, 100)
    pairs = choose_pairs(labels)
    same = labels[pairs[:, 0]] == labels[pairs[:, 1]]
    assert same.tolist() == [True] * 6 + [False] * 6
    assert (pairs[:, 0] != pairs[:, 1]).all()
    assert len(choose_pairs(np.array([0, 0, 0]))) == 6, "one class: no different pairs"
    assert len(choose_pairs(np.array([0, 1]))) == 6, "classes of one: no same pairs"


def test_worst_errors_come_first_by_agreement_then_by_distance() -> None:
    labels, said = np.array([0, 0, 0, 0]), np.array([1, 1, 1, 0])
    found = np.array([[1, 1], [1, 0], [1, 1], [0, 0]])
    assert choose_worst_errors(labels, said, found, np.array([0.9, 0.1, 0.2, 0.0])).tolist() == [2, 0, 1]
    assert choose_worst_errors(labels, labels, found, np.zeros(4)).tolist() == []


def test_a_tile_keeps_proportions_and_pixels() -> None:
    image = np.array([[[0, 255], [255, 0]]], dtype=np.uint8)
    assert tile(image, 4)[:, :, 0].tolist() == [[0, 0, 255, 255]] * 2 + [[255, 255, 0, 0]] * 2
    tall = tile(np.zeros((3, 8, 4), dtype=np.uint8), 8)
    assert (tall[:, 2:6] == 0).all()
    assert (tall[:, [0, 1, 6, 7]] == 238).all()


def overlapping(centres: np.ndarray, sizes: np.ndarray) -> int:
    return sum(
        bool((np.abs(centres[i] - centres[j]) < (sizes[i] + sizes[j]) / 2 - 1e-6).all())
        for i in range(len(centres))
        for j in range(i)
    )


def test_labels_are_placed_without_overlap_and_inside() -> None:
    generator = np.random.default_rng(0)
    anchors, sizes = generator.normal(300, 40, (20, 2)), np.tile([90.0, 20.0], (20, 1))
    assert overlapping(anchors, sizes) > 10
    centres = place_labels(anchors, sizes, (600, 600))
    assert overlapping(centres, sizes) == 0
    assert (centres >= sizes / 2 - 1e-6).all()
    assert (centres <= 600 - sizes / 2 + 1e-6).all()
    kept = free_labels(anchors, sizes, np.arange(20), most=40)
    assert kept[0] == 0
    assert overlapping(anchors[kept], sizes[kept]) == 0


@pytest.mark.parametrize(("names", "expected"), [(HOSTILE, "class 3"), ((), "class 3"), (["a", "b", "c", "d"], "d")])
def test_a_class_without_a_name_gets_a_number(names: Sequence[str], expected: str) -> None:
    assert class_name(names, 3) == expected


def test_names_fit_and_have_glyphs() -> None:
    assert printable("caf\u00e9 \U0010ffff") == "café ?"
    for name in HOSTILE:
        assert all(len(line) <= 10 for line in wrapped(name, 10).split("\n"))
        assert len(wrapped(name, 10).split("\n")) <= 2
