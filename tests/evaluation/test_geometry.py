import numpy as np
import pytest
import torch

from likewise.errors import EvaluationError
from likewise.evaluation import geometry
from likewise.losses import alignment, effective_rank, uniformity


def sample(n=1500, dimension=6, seed=0):
    random = np.random.default_rng(seed)
    return random.normal([3, 0, 0, 0, 0, 0], size=(n, dimension)).astype(np.float32), random.integers(0, 4, n)


def test_equals_the_losses_of_the_same_name():
    x, y = sample()
    result = geometry(x, y)
    unit = torch.nn.functional.normalize(torch.from_numpy(x).double())
    i, j = (torch.from_numpy(y)[:, None] == torch.from_numpy(y)).triu(diagonal=1).nonzero().T
    assert result.alignment == pytest.approx(float(alignment(unit[i], unit[j])), rel=1e-6)
    assert result.uniformity == pytest.approx(float(uniformity(unit)), rel=1e-5)
    assert result.effective_rank == pytest.approx(float(effective_rank(torch.from_numpy(x))), rel=1e-9)


def test_spread_is_one_on_the_sphere_and_zero_in_a_dot():
    assert geometry(np.random.default_rng(0).normal(size=(4000, 16))).spread == pytest.approx(1, abs=0.01)
    collapsed = geometry(np.ones((50, 16)), np.zeros(50, dtype=int))
    assert collapsed.spread == pytest.approx(0, abs=1e-6)
    assert collapsed.uniformity == pytest.approx(0, abs=1e-6)
    assert collapsed.effective_rank == pytest.approx(1, abs=1e-6)
    assert collapsed.alignment == 0


def test_alignment_is_absent_without_pairs():
    x, _ = sample(4)
    assert geometry(x).alignment is None
    assert geometry(x, np.arange(4)).alignment is None


def test_zero_vectors_are_counted_and_harmless():
    result = geometry(np.zeros((5, 3)))
    assert (result.effective_rank, result.uniformity, result.spread) == (0.0, 0.0, 0.0)


def test_one_row_is_too_few():
    with pytest.raises(EvaluationError, match="at least 2"):
        geometry(np.ones((1, 3)))
