import numpy as np
import pytest
import torch

from likewise.errors import EvaluationError
from likewise.evaluation import _slabs as slabs
from likewise.evaluation import _tiles as tiles
from likewise.evaluation import nearest


def naive(queries, gallery, k, distance="euclidean", exclude_self=False):
    """A full matrix of float64 differences and a stable sort: what the engine has to reproduce."""
    x, y = queries.astype(np.float64), gallery.astype(np.float64)
    zero = np.zeros((len(x), len(y)), dtype=bool)
    if distance == "cosine":
        x_norm, y_norm = np.linalg.norm(x, axis=1), np.linalg.norm(y, axis=1)
        zero = (x_norm == 0)[:, None] | (y_norm == 0)
        x, y = x / np.where(x_norm > 0, x_norm, 1)[:, None], y / np.where(y_norm > 0, y_norm, 1)[:, None]
    squared = np.square(x[:, None] - y[None]).sum(axis=2)
    matrix = np.where(zero, 1, squared / 2) if distance == "cosine" else np.sqrt(squared)
    if exclude_self:
        np.fill_diagonal(matrix, np.inf)
    order = np.argsort(matrix, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(matrix, order, axis=1), order


def check(queries, gallery, k, **options):
    distances, indices = nearest(queries, gallery, k, **options)
    expected_distances, expected_indices = naive(queries, gallery, k, **options)
    assert distances.dtype == np.float32
    assert indices.dtype == np.int64
    np.testing.assert_array_equal(indices, expected_indices)
    np.testing.assert_allclose(distances, expected_distances, rtol=3e-7, atol=1e-14)
    assert (np.diff(distances, axis=1) >= 0).all()


def normal(*shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.parametrize("k", [1, 10, 290, 300])
def test_equals_the_full_matrix(distance, k):
    check(normal(70, 16), normal(300, 16, seed=1), k, distance=distance)


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.uint8])
def test_other_dtypes_are_exact_too(distance, dtype):
    check((normal(30, 5) * 40).astype(dtype), (normal(200, 5, seed=1) * 40 + 7).astype(dtype), 1, distance=distance)


@pytest.mark.parametrize("shift", [1e4, -3e5])
def test_a_common_offset_costs_no_digit(shift):
    check(normal(40, 8) + np.float32(shift), normal(400, 8, seed=1) + np.float32(shift), 12)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_extreme_scales(scale):
    check(normal(20, 5) * np.float32(scale), normal(300, 5, seed=1) * np.float32(scale), 9)


def test_one_outlier_does_not_blind_the_rest():
    gallery = normal(500, 6, seed=1)
    gallery[17] = 1e6
    check(normal(40, 6), gallery, 10)


@pytest.mark.parametrize("k", [1, 30, 120])
def test_duplicates_go_to_the_lower_index(k):
    gallery = np.repeat(normal(12, 4, seed=1), 50, axis=0)[np.random.default_rng(2).permutation(600)]
    check(normal(25, 4), gallery, k)
    check(gallery[:25], gallery, k)


def test_identical_points_have_distance_exactly_zero():
    gallery = normal(300, 7) + np.float32(100)
    for distance in ("euclidean", "cosine"):
        distances, indices = nearest(gallery, gallery, 1, distance=distance)
        assert (distances == 0).all()
        assert (indices[:, 0] == np.arange(300)).all()


def test_collapsed_space_returns_the_first_rows():
    everywhere = np.full((400, 8), 0.3, dtype=np.float32)
    distances, indices = nearest(everywhere[:30], everywhere, 7)
    assert (distances == 0).all()
    assert (indices == np.arange(7)).all()
    indices = nearest(everywhere, everywhere, 2, exclude_self=True)[1]
    assert indices[0].tolist() == [1, 2]
    assert indices[1].tolist() == [0, 2]
    assert (indices[2:] == [0, 1]).all()


def test_classes_shrunk_to_dots():
    corner = np.eye(8, dtype=np.float32)
    labels = np.random.default_rng(0).integers(0, 4, 900)
    points = corner[labels] + normal(900, 8) * np.float32(1e-5)
    check(points[:60], points, 20)


def test_more_ties_than_spare_candidates():
    grid = np.random.default_rng(0).integers(0, 3, (900, 6)).astype(np.uint8)
    check(grid[:50], grid, 5)
    check(grid[:50], grid, 60)


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_zero_vectors(distance):
    gallery = normal(200, 6, seed=1)
    gallery[50:150] = 0
    queries = normal(20, 6)
    queries[3] = 0
    check(queries, gallery, 120, distance=distance)


def test_zero_vector_has_cosine_distance_one_to_everything():
    distances, indices = nearest(np.zeros((1, 3)), np.array([[0.0, 0, 0], [1, 2, 3]]), 2, distance="cosine")
    assert distances.tolist() == [[1.0, 1.0]]
    assert indices.tolist() == [[0, 1]]


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.parametrize("k", [1, 11, 249])
def test_self_is_left_out(distance, k):
    points = normal(250, 3)
    points[10] = 0
    check(points, points, k, distance=distance, exclude_self=True)


def test_many_tiles_give_the_same_answer(monkeypatch):
    queries, gallery = normal(60, 9), normal(1000, 9, seed=1)
    gallery[200:400] = gallery[0]
    whole = nearest(queries, gallery, 30)
    for module in (tiles, slabs):
        monkeypatch.setattr(module, "TILE_BYTES", 9000)
    monkeypatch.setattr(slabs, "TILE_ROWS", 16)
    monkeypatch.setattr(tiles, "_RERANK_BYTES", 5000)
    for whole_part, tiled_part in zip(whole, nearest(queries, gallery, 30), strict=True):
        np.testing.assert_array_equal(whole_part, tiled_part)


def test_lower_bounds_are_lower_bounds():
    queries, gallery = normal(50, 64) + 3, normal(400, 64, seed=1) + 3
    space = tiles.Space.around(queries, gallery, unit=False)
    left, missing = space.query_side(queries, np.float32)
    bounds = (left @ space.gallery_side(gallery, np.float32).T).astype(np.float64) + missing[:, None]
    exact = np.square(queries[:, None].astype(np.float64) - gallery[None].astype(np.float64)).sum(axis=2)
    gap = exact * space.scale**2 - bounds
    assert (gap >= 0).all()
    assert gap.max() < 3e-4


def test_reduced_precision_of_a_training_run_is_not_used():
    queries, gallery = normal(64, 512), normal(300, 512, seed=1)
    backend = torch.backends.mkldnn.matmul
    before = backend.fp32_precision
    try:
        backend.fp32_precision = "bf16"
        check(queries, gallery, 5)
        assert backend.fp32_precision == "bf16"
    finally:
        backend.fp32_precision = before


def test_tensors_are_accepted_and_not_changed():
    queries, gallery = torch.from_numpy(normal(20, 4)).requires_grad_(), torch.from_numpy(normal(50, 4, seed=1))
    copy = gallery.clone()
    indices = nearest(queries, gallery.to(torch.bfloat16), 3)[1]
    assert indices.shape == (20, 3)
    np.testing.assert_array_equal(
        nearest(queries, gallery, 3)[1], naive(queries.detach().numpy(), gallery.numpy(), 3)[1]
    )
    assert torch.equal(gallery, copy)


def test_smallest_shapes():
    assert nearest(np.array([[2.0]]), np.array([[5.0]]), 1)[0].tolist() == [[3.0]]
    assert nearest(np.array([[2.0], [5.0]]), np.array([[2.0], [5.0]]), 1, exclude_self=True)[1].tolist() == [[1], [0]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((2, 3)), np.zeros((2, 4)), 1), "same dimension"),
        ((np.zeros(3), np.zeros((2, 3)), 1), r"\(N, D\)"),
        ((np.zeros((2, 0)), np.zeros((2, 0)), 1), r"\(N, D\)"),
        ((np.zeros((0, 3)), np.zeros((2, 3)), 1), "at least 1"),
        ((np.zeros((1, 3)), np.array([[0, 0, 0], [0, np.nan, 0]]), 1), "row 1"),
        ((np.array([[np.inf]]), np.zeros((1, 1)), 1), "finite"),
        ((np.zeros((1, 3)), np.zeros((2, 3)), 0), "k=0"),
        ((np.zeros((1, 3)), np.zeros((2, 3)), 3), "at most 2"),
        ((np.zeros((1, 3)), np.zeros((2, 3)), 1.0), "whole number"),
        ((np.zeros((1, 3), dtype=bool), np.zeros((2, 3)), 1), "real numbers"),
        (([["a"]], np.zeros((2, 1)), 1), "real numbers"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(EvaluationError, match=message):
        nearest(*arguments)


def test_unknown_distance_and_unequal_self():
    with pytest.raises(EvaluationError, match="'euclidean', 'cosine'"):
        nearest(np.zeros((1, 2)), np.zeros((1, 2)), 1, distance="manhattan")
    with pytest.raises(EvaluationError, match="row by row"):
        nearest(np.zeros((1, 2)), np.zeros((3, 2)), 1, exclude_self=True)
    with pytest.raises(EvaluationError, match="at most 0"):
        nearest(np.zeros((1, 2)), np.zeros((1, 2)), 1, exclude_self=True)
