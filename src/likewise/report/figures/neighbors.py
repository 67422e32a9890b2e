"""Queries and what they find: test images, each followed by its five nearest images, of training or of the test.

A neighbour of the query's class has a blue frame and ✓, another one an orange frame, ✗ and its class name, so colour
is never the only sign. The queries are drawn at random, one per class while there is room, not picked by success.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from likewise.report.figures.names import class_name, wrapped
from likewise.report.figures.sheet import MARGIN, SHEET_WIDTH, TITLE_HEIGHT, Pixels, Sheet, tile
from likewise.report.figures.style import MUTED, RIGHT, RIGHT_SIGN, WRONG, WRONG_SIGN, styled

QUERIES = 8


def choose_queries(labels: NDArray[np.int64] | None, count: int, *, seed: int = 0) -> NDArray[np.int64]:
    """Positions of up to eight queries, of different classes while there are such.

    Args:
        labels: (count,) int64 of the test images, or None.
        count: number of test images.
        seed: of the draw.

    Returns:
        (M,) int64, sorted by label.
    """
    generator = np.random.default_rng(seed)
    order = generator.permutation(count)
    if labels is None:
        return order[:QUERIES].astype(np.int64)
    _, first = np.unique(labels[order], return_index=True)
    one_per_class = order[generator.permutation(first)]
    rest = order[~np.isin(order, one_per_class)]
    chosen = np.concatenate([one_per_class, rest])[:QUERIES]
    return chosen[np.argsort(labels[chosen], kind="stable")].astype(np.int64)


@styled
def draw_neighbors(
    queries: Pixels,
    neighbors: Sequence[Pixels],
    query_labels: NDArray[np.int64] | None,
    neighbor_labels: NDArray[np.int64] | None,
    class_names: Sequence[str],
    *,
    among: str = "training images",
) -> Figure:
    """Rows of one query and its nearest neighbours, nearest first.

    Args:
        queries: (M, C, H, W) uint8 test images.
        neighbors: M arrays (k, C, H, W) uint8 of what was found, k ≤ 5.
        query_labels: (M,) int64, or None where there are no labels: nothing is marked then.
        neighbor_labels: (M, k) int64, or None.
        class_names: of all classes.
        among: which images were searched, for the title.
    """
    columns, gap, divide, caption = 6, 18, 44, 52
    size = (SHEET_WIDTH - 2 * MARGIN - 10 - (columns - 2) * gap - divide) // columns
    top = TITLE_HEIGHT + 30
    known = query_labels is not None and neighbor_labels is not None
    words = (
        f"{RIGHT_SIGN} blue: same class · {WRONG_SIGN} orange: another class, named"
        if known
        else "no labels: nothing to mark"
    )
    sheet = Sheet(top + len(queries) * (size + caption + 8) + MARGIN, f"Test images and their nearest {among}", words)
    left = MARGIN + 5
    xs = [left, *(left + size + divide + i * (size + gap) for i in range(columns - 1))]
    for x, heading in zip(xs, ("query", "nearest", "2nd", "3rd", "4th", "5th"), strict=True):
        sheet.write(x + size / 2, top - 16, heading, ha="center", va="baseline", fontsize=9, color=MUTED)
    for row, query in enumerate(queries):
        y = top + row * (size + caption + 8)
        sheet.paste(xs[0], y, tile(query, size))
        if query_labels is not None:
            name = wrapped(class_name(class_names, int(query_labels[row])), 11)
            sheet.write(xs[0] + size / 2, y + size + 9, name, ha="center", va="top", fontsize=9, fontweight="bold")
        for column, image in enumerate(neighbors[row][: columns - 1]):
            x = xs[column + 1]
            sheet.paste(x, y, tile(image, size))
            if query_labels is None or neighbor_labels is None:
                continue
            label = int(neighbor_labels[row, column])
            right = label == int(query_labels[row])
            sheet.frame(x, y, size, RIGHT if right else WRONG)
            text = RIGHT_SIGN if right else f"{WRONG_SIGN} {wrapped(class_name(class_names, label), 9)}"
            sheet.write(
                x + size / 2, y + size + 9, text, ha="center", va="top", fontsize=9, color=RIGHT if right else WRONG
            )
    return sheet.figure()
