import numpy as np
import pytest

from likewise.errors import EvaluationError
from likewise.evaluation import _ranking as ranking
from likewise.evaluation import retrieval


def naive(queries, query_labels, gallery, gallery_labels, ks, *, exclude_self):
    """Musgrave et al. 2020 in plain loops: recall@k, AP@R, R-precision and the first hit of each query."""
    recall, average, precise, first = {k: [] for k in ks}, [], [], []
    for i, query in enumerate(queries.astype(np.float64)):
        distance = np.square(gallery.astype(np.float64) - query).sum(axis=1)
        order = [j for j in np.argsort(distance, kind="stable") if not (exclude_self and j == i)]
        relevant = [int(gallery_labels[j] == query_labels[i]) for j in order]
        size = sum(relevant)
        if size == 0:
            average.append(np.nan)
            precise.append(np.nan)
            first.append(0)
            continue
        average.append(sum(relevant[n] * sum(relevant[: n + 1]) / (n + 1) for n in range(size)) / size)
        precise.append(sum(relevant[:size]) / size)
        first.append(relevant.index(1) + 1)
        for k in ks:
            recall[k].append(any(relevant[:k]))
    return {k: np.mean(v) for k, v in recall.items()}, average, precise, first


def points(n, classes, seed, dimension=4):
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, n)
    centres = np.random.default_rng(5).normal(size=(classes, dimension))
    return (centres[labels] + random.normal(size=(n, dimension))).astype(np.float32), labels


def check(result, expected):
    recall, average, precise, first = expected
    assert result.recall == pytest.approx(recall)
    np.testing.assert_allclose(result.average_precision_at_r, average)
    np.testing.assert_allclose(result.r_precision_each, precise)
    assert result.first_hit_rank.tolist() == first
    assert result.map_at_r == pytest.approx(np.nanmean(average))
    assert result.r_precision == pytest.approx(np.nanmean(precise))
    assert result.queries_without_positive == first.count(0)


@pytest.mark.parametrize("classes", [2, 7, 90])
def test_queries_against_themselves(classes):
    x, y = points(200, classes, 0)
    check(retrieval(x, y), naive(x, y, x, y, (1, 5, 10), exclude_self=True))


@pytest.mark.parametrize("classes", [2, 30])
def test_queries_against_a_gallery(classes):
    (x, y), (g, h) = points(70, classes, 0), points(210, classes, 1)
    check(retrieval(x, y, g, h, ks=(2, 4)), naive(x, y, g, h, (2, 4), exclude_self=False))


def test_an_unbalanced_gallery_with_lonely_classes():
    x, _ = points(120, 3, 0)
    y = np.concatenate([np.zeros(90, dtype=int), np.repeat([1, 2, 3], 9), [4, 5, 6]])
    result = retrieval(x, y)
    check(result, naive(x, y, x, y, (1, 5, 10), exclude_self=True))
    assert result.queries_without_positive == 3


def test_tiles_and_threads_do_not_change_the_answer(monkeypatch):
    x, y = points(150, 4, 0)
    whole = retrieval(x, y)
    monkeypatch.setattr(ranking, "_TILE_ROWS", 7)
    tiled = retrieval(x, y)
    np.testing.assert_array_equal(whole.average_precision_at_r, tiled.average_precision_at_r)
    np.testing.assert_array_equal(whole.first_hit_rank, tiled.first_hit_rank)


def test_a_collapsed_space_is_ranked_by_index():
    x, y = np.ones((6, 3), dtype=np.float32), np.array([0, 1, 0, 1, 0, 1])
    check(retrieval(x, y, ks=(1,)), naive(x, y, x, y, (1,), exclude_self=True))


def test_cosine_ignores_length():
    x, y = points(100, 5, 0)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    lengths = np.random.default_rng(1).uniform(0.1, 9, (100, 1)).astype(np.float32)
    check(retrieval(x * lengths, y, distance="cosine"), naive(unit, y, unit, y, (1, 5, 10), exclude_self=True))


def test_without_ks_only_the_rankings_are_measured():
    x, y = points(60, 3, 0)
    result = retrieval(x, y, ks=())
    assert result.recall == {}
    assert result.map_at_r == retrieval(x, y).map_at_r


def test_k_beyond_the_gallery_is_the_gallery():
    x, y = points(8, 2, 0)
    assert retrieval(x, y, ks=(100,)).recall[100] == 1.0


def test_perfect_and_worst():
    x, y = np.array([[0.0], [0.1], [9.0], [9.1]]), np.array([0, 0, 1, 1])
    assert retrieval(x, y).map_at_r == 1.0
    worst = retrieval(x, np.array([0, 1, 0, 1]), ks=(1,))
    assert (worst.map_at_r, worst.recall[1]) == (0.0, 0.0)


def test_bad_input_is_named():
    x = np.zeros((3, 2))
    with pytest.raises(EvaluationError, match="none of 3 queries"):
        retrieval(x, np.array([0, 1, 2]))
    with pytest.raises(EvaluationError, match="gallery_labels is None"):
        retrieval(x, np.zeros(3, dtype=int), x)
    with pytest.raises(EvaluationError, match="ks=0"):
        retrieval(x, np.zeros(3, dtype=int), ks=(0,))
    with pytest.raises(EvaluationError, match="same dimension"):
        retrieval(x, np.zeros(3, dtype=int), np.zeros((3, 5)), np.zeros(3, dtype=int))
