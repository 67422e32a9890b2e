"""A prepared gallery answers as the search that prepares nothing: the same bits, from any subset, for any query."""

import tracemalloc

import numpy as np
import pytest

from likewise.errors import EvaluationError
from likewise.evaluation import Gallery, nearest
from likewise.evaluation import _tiles as tiles
from likewise.evaluation import gallery as module


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def check(queries, rows, k, distance, among=None):
    found = Gallery(rows, distance=distance).nearest(queries, k, among=among)
    expected = nearest(queries, rows if among is None else rows[among], k, distance=distance)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1] if among is None else among[expected[1]])
    assert found[0].dtype == np.float32
    assert found[1].dtype == np.int64


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.parametrize(("count", "k"), [(1, 1), (1, 10), (1, 290), (150, 10), (150, 300)])
def test_equals_a_search_from_scratch(distance, count, k):
    check(normal(count, 16) + 2, normal(300, 16, seed=1) + 2, k, distance)


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.parametrize("share", [0.9, 0.3, 0.05])
def test_a_subset_is_searched_as_if_it_were_all(distance, share):
    among = np.flatnonzero(np.random.default_rng(0).random(400) < share)
    check(normal(20, 8), normal(400, 8, seed=1), 7, distance, among)
    check(normal(20, 8), normal(400, 8, seed=1), len(among), distance, among)


def test_many_slabs_give_the_same_answer(monkeypatch):
    monkeypatch.setattr(module, "_COLUMNS", 128)
    among = np.arange(0, 1000, 3)
    for k in (1, 30, 300):
        check(normal(40, 9), normal(1000, 9, seed=1), k, "euclidean")
        check(normal(40, 9), normal(1000, 9, seed=1), k, "euclidean", among)


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_duplicates_zero_vectors_and_dots(distance):
    rows = np.repeat(normal(20, 6, seed=1), 40, axis=0)
    rows[100:200] = 0
    rows[300:500] = rows[300] + normal(200, 6, seed=2) * np.float32(1e-6)
    queries = np.concatenate([rows[::90], normal(5, 6, seed=3)])
    check(queries, rows, 60, distance)
    check(queries, rows, 60, distance, np.arange(50, 800, 2))


@pytest.mark.parametrize("unit", [False, True])
def test_as_many_candidates_as_a_collapsed_gallery_has_are_ranked_in_bounded_memory(unit, monkeypatch):
    rows = normal(20_000, 64)
    space = tiles.Space.around(rows[:1], rows, unit=unit)
    everything = np.arange(len(rows))[None]
    whole = tiles.rerank(rows[:1], rows, everything, 9, space)
    monkeypatch.setattr(tiles, "TILE_BYTES", 2**18)
    tracemalloc.start()
    found = tiles.rerank(rows[:1], rows, everything, 9, space)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    for one, other in zip(found, whole, strict=True):
        np.testing.assert_array_equal(one, other)
    assert peak < rows.nbytes / 2  # the differences of all rows at once take twice the gallery


@pytest.mark.parametrize("size", [1e-25, 1e12, 1e30])
def test_queries_of_another_size(size):
    queries = np.concatenate([normal(3, 5) * np.float32(size), normal(3, 5)])
    check(queries, normal(300, 5, seed=1), 9, "euclidean")
    check(queries, normal(300, 5, seed=1), 9, "cosine")


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_stretches_are_searched_as_a_subset(distance):
    rows, query = normal(500, 8, seed=1), normal(8)
    gallery = Gallery(rows, distance=distance)
    ranges = np.array([[300, 420], [10, 10], [40, 90], [0, 3]])
    among = np.concatenate([np.arange(0, 3), np.arange(40, 90), np.arange(300, 420)])
    for k in (1, 10, 173):
        distances, positions = gallery.nearest_in(query, k, ranges)
        expected = nearest(query[None], rows[among], k, distance=distance)
        np.testing.assert_array_equal(distances, expected[0][0])
        np.testing.assert_array_equal(positions, among[expected[1][0]])
    assert len(gallery.nearest_in(query, 500, ranges)[1]) == 173
    assert len(gallery.nearest_in(query, 5, np.array([[7, 7]]))[1]) == 0
    # Beyond the reach of float32 every row is looked at; a direction has no reach.
    far = gallery.nearest_in(query * np.float32(1e30), 500, ranges)[1]
    assert len(far) == (500 if distance == "euclidean" else 173)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda gallery: gallery.nearest(np.zeros((1, 4)), 1), "same dimension"),
        (lambda gallery: gallery.nearest(np.full((1, 3), np.nan), 1), "row 0"),
        (lambda gallery: gallery.nearest(np.zeros((1, 3)), 6), "at most 5"),
        (lambda gallery: gallery.nearest(np.zeros((1, 3)), 3, among=np.array([1, 2])), "at most 2"),
        (lambda gallery: gallery.nearest(np.zeros((1, 3)), 0), "k=0"),
        (lambda gallery: gallery.nearest_in(np.zeros(4), 1, np.array([[0, 2]])), "same dimension"),
        (lambda _: Gallery(np.full((2, 3), np.inf)), "finite"),
        (lambda _: Gallery(np.zeros((2, 3)), distance="far"), "'euclidean', 'cosine'"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(EvaluationError, match=message):
        call(Gallery(normal(5, 3)))
