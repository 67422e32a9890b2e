"""The worst errors: test images that the embedding is surest about and wrong.

Sure means: the five nearest training images agree on one other class; among those, the nearest neighbour is nearest.
Each test image stands beside the training image that misled it. Wrong labels in the data show up here first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from likewise.report.figures.names import class_name, short
from likewise.report.figures.sheet import MARGIN, SHEET_WIDTH, TITLE_HEIGHT, Pixels, Sheet, tile
from likewise.report.figures.style import INK, MUTED, WRONG, WRONG_SIGN, styled

PER_ROW = 3
MOST = 12


def choose_worst_errors(
    labels: NDArray[np.int64],
    predictions: NDArray[np.int64],
    neighbor_labels: NDArray[np.int64],
    distances: NDArray[np.float32],
) -> NDArray[np.int64]:
    """Positions of up to twelve wrong test images, the most confident error first.

    Args:
        labels: (M,) int64, the true classes.
        predictions: (M,) int64, 1-NN.
        neighbor_labels: (M, k) int64 of the nearest training images.
        distances: (M,) float32 to the nearest one.

    Example:
        >>> choose_worst_errors(
        ...     np.array([0, 0, 1]), np.array([1, 1, 1]), np.array([[1, 0], [1, 1], [1, 1]]), np.array([0.1, 0.2, 0.3])
        ... ).tolist()
        [1, 0]
    """
    agreement = (neighbor_labels == predictions[:, None]).sum(axis=1)
    wrong = np.flatnonzero(labels != predictions)
    order = np.lexsort((wrong, distances[wrong], -agreement[wrong]))
    return wrong[order][:MOST]


@styled
def draw_worst_errors(
    images: Pixels,
    neighbors: Pixels,
    labels: NDArray[np.int64],
    predictions: NDArray[np.int64],
    agreement: NDArray[np.int64],
    neighbor_count: int,
    class_names: Sequence[str],
) -> Figure:
    """Cards of two tiles: the test image, and its nearest training image.

    Args:
        images: (M, C, H, W) uint8 test images, worst first.
        neighbors: (M, C, H, W) uint8, the nearest training image of each.
        labels, predictions: (M,) int64.
        agreement: (M,) int64, how many of the nearest neighbours have the predicted class.
        neighbor_count: how many neighbours were asked.
        class_names: of all classes.
    """
    between, seam, caption = 34, 4, 96
    card = (SHEET_WIDTH - 2 * MARGIN - (PER_ROW - 1) * between) // PER_ROW
    size = (card - seam) // 2
    rows = max(1, -(-len(images) // PER_ROW))
    sheet = Sheet(
        TITLE_HEIGHT + rows * (size + caption) + MARGIN,
        "The most confident errors",
        "left: test image · right: its nearest training image",
    )
    if len(images) == 0:
        sheet.write(MARGIN, TITLE_HEIGHT + size / 2, "No errors: every test image's nearest neighbour has its class.")
    for at in range(len(images)):
        x = MARGIN + (at % PER_ROW) * (card + between)
        y = TITLE_HEIGHT + (at // PER_ROW) * (size + caption)
        sheet.paste(x, y, tile(images[at], size))
        sheet.paste(x + size + seam, y, tile(neighbors[at], size))
        said, true = (class_name(class_names, int(labels_[at])) for labels_ in (predictions, labels))
        sheet.write(x, y + size + 4, f"{WRONG_SIGN} {short(said, 17)}", va="top", color=WRONG, fontweight="bold")
        sheet.write(x, y + size + 31, f"truly {short(true, 17)}", va="top", color=INK, fontsize=9)
        sheet.write(
            x, y + size + 56, f"{int(agreement[at])} of {neighbor_count} agree", va="top", color=MUTED, fontsize=8.5
        )
    return sheet.figure()
