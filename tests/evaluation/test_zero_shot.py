"""Zero-shot: the nearest class text, ensembles as in CLIP's code, calibration by its definition."""

from __future__ import annotations

import numpy as np
import pytest

from likewise.errors import EvaluationError
from likewise.evaluation import calibration_error, fit_temperature, prompt_ensemble, zero_shot


def test_an_ensemble_is_the_normalised_mean_of_normalised_prompts() -> None:
    prompts = np.random.default_rng(0).normal(size=(3, 4, 5))
    unit = prompts / np.linalg.norm(prompts, axis=2, keepdims=True)
    mean = unit.mean(axis=1)
    np.testing.assert_allclose(prompt_ensemble(prompts), mean / np.linalg.norm(mean, axis=1, keepdims=True), rtol=1e-6)


def test_an_image_takes_the_class_of_the_nearest_text() -> None:
    draws = np.random.default_rng(1)
    images, classes, labels = draws.normal(size=(50, 4)), draws.normal(size=(6, 4)), draws.integers(0, 5, 50)
    result = zero_shot(images, classes, labels)
    cosine = (images @ classes.T) / np.linalg.norm(images, axis=1)[:, None] / np.linalg.norm(classes, axis=1)
    np.testing.assert_array_equal(result.predictions, cosine.argmax(1))
    assert result.accuracy == np.mean(cosine.argmax(1) == labels)
    assert result.per_class[2] == np.mean(cosine.argmax(1)[labels == 2] == 2)
    assert np.isnan(result.per_class[5])


def test_the_fitted_temperature_calibrates_scores_that_were_scaled() -> None:
    draws = np.random.default_rng(2)
    logits = draws.normal(size=(20_000, 4)) * 2
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (draws.random((20_000, 1)) > probabilities.cumsum(1)).sum(1).clip(0, 3)
    similarities = logits * 0.05
    temperature = fit_temperature(similarities, labels)
    assert temperature == pytest.approx(0.05, rel=0.05)
    assert calibration_error(similarities, labels, temperature) < 0.01
    assert calibration_error(similarities, labels, 0.005) > 0.1


def test_a_label_without_a_text_is_named() -> None:
    with pytest.raises(EvaluationError, match="value 2 with 2 classes"):
        zero_shot(np.eye(2), np.eye(2), np.array([0, 2]))
