"""Cosines of pairs of one class and of different classes, against loops over the pairs."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from likewise.errors import EvaluationError
from likewise.evaluation import pair_similarities


def test_it_is_what_a_loop_over_the_pairs_finds() -> None:
    draws = np.random.default_rng(0)
    labels = np.arange(24) % 3
    rows = draws.normal(size=(24, 5)).astype(np.float32) + labels[:, None]
    found = pair_similarities(rows, labels, bins=8)
    assert found is not None
    cosines: dict[bool, list[float]] = {True: [], False: []}
    for i, j in combinations(range(24), 2):
        a, b = rows[i].astype(float), rows[j].astype(float)
        cosines[bool(labels[i] == labels[j])].append(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
    for shares, alike in ((found.same, True), (found.different, False)):
        counts, edges = np.histogram(cosines[alike], 8, (-1, 1))
        assert shares == pytest.approx(counts / counts.sum())
        assert found.edges == pytest.approx(edges)
    wins = [(s > d) + 0.5 * (s == d) for s in cosines[True] for d in cosines[False]]
    assert found.auroc == pytest.approx(np.mean(wins))
    assert found.images == 24


def test_of_many_images_some_are_drawn_by_the_seed() -> None:
    rows, labels = np.random.default_rng(0).normal(size=(300, 3)), np.arange(300) % 4
    one, again, other = (pair_similarities(rows, labels, most=50, seed=seed) for seed in (0, 0, 1))
    assert one is not None
    assert again is not None
    assert other is not None
    assert one.images == 50
    assert one.auroc == again.auroc != other.auroc


def test_collapsed_embeddings_and_rows_of_zeros_are_at_chance() -> None:
    for rows in (np.ones((6, 2)), np.zeros((6, 2))):
        found = pair_similarities(rows, np.arange(6) % 2)
        assert found is not None
        assert found.auroc == 0.5


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2]])
def test_without_both_kinds_of_pairs_there_is_nothing_to_compare(labels: list[int]) -> None:
    assert pair_similarities(np.eye(3), np.array(labels)) is None


def test_what_is_not_finite_is_refused() -> None:
    with pytest.raises(EvaluationError, match="NaN or infinity in row 1"):
        pair_similarities(np.array([[0.0], [np.nan]]), np.array([0, 0]))
