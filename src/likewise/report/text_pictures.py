"""Which pictures a run with captions has: what sentences find, the worst retrievals, a small batch, both modalities.

They come from ``records/texts.parquet`` and ``embeddings/texts.parquet``; those that show images need the data too.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from likewise.report.figures.modalities import draw_modalities
from likewise.report.figures.similarity_matrix import MOST as BATCH
from likewise.report.figures.similarity_matrix import draw_similarity_matrix
from likewise.report.figures.text_search import COLUMNS, draw_text_search
from likewise.report.figures.worst_texts import choose_worst_texts, draw_worst_texts
from likewise.report.picture import Picture

if TYPE_CHECKING:
    from likewise.data import ImageDataset, Splits
    from likewise.training.run import Run

DRAWN = 5
"""Captions drawn at random for the picture of what sentences find."""
MOST_POINTS = 1500


def text_pictures(run: Run, data: Splits | None) -> list[Picture]:
    """The pictures of a run that was measured with captions; none of a run without."""
    path = run.folder / "records" / "texts.parquet"
    if not path.is_file():
        return []
    records = pq.read_table(path)
    test = None if data is None else data.test
    found = None if test is None or not _all_there(records, test) else _Photos(records, test)
    vectors = _vectors(run, records)
    return [
        _search(run, records, found),
        *_worst(records, found),
        _batch(records, vectors, found),
        _both(run, records, vectors),
    ]


def _all_there(records: pa.Table, test: ImageDataset) -> bool:
    return set(records["image"].to_pylist()) <= set(test.ids)


class _Photos:
    """Test images by their ids."""

    def __init__(self, records: pa.Table, test: ImageDataset) -> None:
        self._test = test
        self._place = {name: place for place, name in enumerate(test.ids)}
        self.total = len(test)

    def of(self, names: list[str]) -> NDArray[np.uint8]:
        """(M, C, H, W) uint8."""
        places = torch.tensor([self._place[name] for name in names], dtype=torch.int64)
        taken: NDArray[np.uint8] = self._test.take(places).cpu().numpy()
        return taken


def _vectors(run: Run, records: pa.Table) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Unit vectors of the captions, and of the image of each caption."""
    texts = pq.read_table(run.folder / "embeddings" / "texts.parquet")["embedding"].combine_chunks()
    rows = texts.flatten().to_numpy().reshape(len(records), -1)
    images = run.embeddings("test")
    place = {name: at for at, name in enumerate(images.ids)}
    own = images.embeddings[[place[name] for name in records["image"].to_pylist()]]
    return _unit(rows), _unit(own)


def _unit(rows: NDArray[Any]) -> NDArray[np.float32]:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float32] = (rows / np.where(norms > 0, norms, 1)).astype(np.float32)
    return unit


def _drawn(records: pa.Table, count: int) -> list[int]:
    """Rows of captions of different images, drawn at random."""
    chosen: dict[str, int] = {}
    names = records["image"].to_pylist()
    for row in np.random.default_rng(0).permutation(len(records)).tolist():
        if len(chosen) == count:
            break
        chosen.setdefault(names[row], row)
    return list(chosen.values())


def _search(run: Run, records: pa.Table, photos: _Photos | None) -> Picture:
    written = run.folder / "records" / "queries.parquet"
    asked = pq.read_table(written).to_pylist() if written.is_file() else []
    rows = records.take(_drawn(records, DRAWN)).to_pylist()
    draw: Callable[[], Figure] | None = None
    if photos is not None:
        shown = [*asked, *rows]
        own = [row["found"].index(row["image"]) if row.get("image") in row["found"] else None for row in shown]
        draw = partial(
            draw_text_search,
            [row["caption"] for row in shown],
            [photos.of(row["found"][:COLUMNS]) for row in shown],
            [row["similarities"] for row in shown],
            own,
            [row.get("rank") for row in shown],
        )
    examples = "; ".join(f"“{row['caption']}”" for row in [*asked, *rows][:3])
    return Picture(
        "text_search",
        "What a sentence finds",
        "Each sentence and the five test images whose embeddings are nearest to it, with their cosine similarity. "
        + ("The first ones were written for this recipe; the others are" if asked else "The sentences are")
        + " test captions drawn at random: ✓ in blue is the caption's own image.",
        f"Rows of a sentence above the five images found for it, among them {examples}.",
        draw,
        photos=True,
    )


def _worst(records: pa.Table, photos: _Photos | None) -> list[Picture]:
    ranks = records["rank"].to_numpy()
    rows = records.take(pa.array(choose_worst_texts(ranks, records["image"].to_pylist()))).to_pylist()
    draw = None
    if not rows:
        return []
    if photos is not None:
        draw = partial(
            draw_worst_texts,
            [row["caption"] for row in rows],
            photos.of([row["image"] for row in rows]),
            photos.of([row["found"][0] for row in rows]),
            np.array([row["rank"] for row in rows]),
            photos.total,
        )
    return [
        Picture(
            "worst_texts",
            "The worst retrievals",
            "Captions whose own image ranks last among all test images, one for each image. Captions that say little, wrong "
            "captions and what the model cannot see show up here.",
            "Captions, each above its own image and the image that was found first: "
            + "; ".join(f"“{row['caption']}” at rank {row['rank']:,}" for row in rows[:3]),
            draw,
            photos=True,
        )
    ]


def _batch(
    records: pa.Table, vectors: tuple[NDArray[np.float32], NDArray[np.float32]], photos: _Photos | None
) -> Picture:
    rows = _drawn(records, BATCH)
    texts, images = vectors[0][rows], vectors[1][rows]
    similarities = texts @ images.T
    names = [records["image"][row].as_py() for row in rows]
    draw = None
    if photos is not None:
        captions = [records["caption"][row].as_py() for row in rows]
        draw = partial(draw_similarity_matrix, similarities, photos.of(names), captions)
    right = int((similarities.argmax(axis=1) == np.arange(len(rows))).sum())
    return Picture(
        "similarity_matrix",
        "A small batch as the loss sees it",
        "Each row is a caption, each column an image, the number their cosine similarity. The loss asks each row and each "
        f"column for the framed cell. Here {right} of {len(rows)} captions are nearest to their own image.",
        f"Matrix of {len(rows)} captions and {len(rows)} images with their cosine similarities.",
        draw,
        photos=True,
    )


def _both(run: Run, records: pa.Table, vectors: tuple[NDArray[np.float32], NDArray[np.float32]]) -> Picture:
    rows = _drawn(records, MOST_POINTS)
    texts, images = vectors[0][rows], vectors[1][rows]
    both = np.concatenate([images, texts]).astype(np.float64)
    centred = both - both.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    plane = (centred @ axes[:2].T).astype(np.float32)
    gap = float(run.metrics.get("modality_gap", 0.0))
    return Picture(
        "modalities",
        "Images and captions in one space",
        "One caption of each test image (triangles) and the image itself (circles), on the two directions of largest variance "
        "of both together. Contrastive training leaves a gap between the two modalities: that their clouds do not cover each "
        "other is no error, as long as the order of neighbours is right.",
        f"Scatter plot of {len(rows):,} images and {len(rows):,} captions, their centres {gap:.2f} apart.",
        partial(draw_modalities, plane[: len(rows)], plane[len(rows) :], gap),
    )
