from __future__ import annotations

import numpy as np
import pytest

from likewise.errors import EvaluationError
from likewise.evaluation import independent_components


def test_mixed_sources_are_found_again_with_their_tails_up():
    random = np.random.default_rng(0)
    sources = np.stack([-random.exponential(size=4000), random.laplace(size=4000), random.uniform(size=4000)], axis=1)
    mixed = sources @ random.normal(size=(3, 6)) + 5
    found = independent_components(mixed, components=3)
    match = np.abs(np.corrcoef(found.activations.T, sources.T)[:3, 3:])
    assert sorted(match.argmax(axis=1).tolist()) == [0, 1, 2]
    assert match.max(axis=1).min() > 0.98
    assert found.converged
    exponential = int(match[:, 0].argmax())
    assert (found.activations[:, exponential] ** 3).mean() > 1
    assert list(np.abs(found.kurtosis)) == sorted(np.abs(found.kurtosis), reverse=True)
    np.testing.assert_allclose(
        found.activations @ found.directions, mixed - mixed.mean(axis=0), atol=1e-3 * np.abs(mixed).max()
    )
    top = found.strongest(5)
    assert top.shape == (3, 5)
    assert found.activations[top[exponential, 0], exponential] == found.activations[:, exponential].max()


def test_there_are_no_more_components_than_directions():
    random = np.random.default_rng(0)
    flat = random.laplace(size=(500, 2)) @ random.normal(size=(2, 8))
    assert independent_components(flat, components=8).activations.shape == (500, 2)


def test_a_collapsed_space_and_no_components_are_named():
    with pytest.raises(EvaluationError, match="All embeddings are equal"):
        independent_components(np.ones((20, 4)))
    with pytest.raises(EvaluationError, match="components=0"):
        independent_components(np.eye(4), components=0)
