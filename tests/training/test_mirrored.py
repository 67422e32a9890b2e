"""``evaluation.mirrored``: every number is of the mean over an image and its mirror image, and the run says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from likewise.models import EmbeddingModel
from likewise.recipe import Recipe
from likewise.training import remeasure, train, try_out

from .test_resume import tiny


@pytest.mark.parametrize("freeze", ["nothing", "encoder"])
def test_what_is_measured_is_the_mean_with_the_mirror_image(freeze: str, tmp_path: Path) -> None:
    recipe = tiny("cross_entropy", epochs=1, flip=False, shift=0, freeze=freeze)
    run = train(recipe.with_overrides({"evaluation.mirrored": True}), tmp_path / "run", quiet=True)
    test, model = run.data().test, run.model
    with torch.inference_mode():
        raw = (model(test.images) + model(test.images.flip(-1))) / 2
        scores = model.classify(raw)
    np.testing.assert_allclose(run.embeddings("test").embeddings, raw.numpy(), atol=1e-5)
    assert run.metrics["classifier_accuracy"] == pytest.approx((scores.argmax(1) == test.labels).float().mean().item())
    assert any("its mirror image (evaluation.mirrored)" in warning for warning in run.warnings)
    plain = train(Recipe.parse(recipe.model_dump()), tmp_path / "plain", quiet=True)
    assert not any("mirror" in warning for warning in plain.warnings)
    np.testing.assert_allclose(plain.embeddings("test").embeddings, model.embed(test.images), atol=1e-5)


def test_frozen_features_of_mirror_images_are_kept_for_every_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIKEWISE_HOME", str(tmp_path / "home"))
    recipe = tiny("cross_entropy", epochs=1, flip=True, shift=0, freeze="encoder")
    recipe = recipe.with_overrides({"evaluation.mirrored": True})
    run = train(recipe, tmp_path / "run", quiet=True)

    def again(*arguments: object) -> None:
        raise AssertionError("the encoder was asked again")

    monkeypatch.setattr(EmbeddingModel, "frozen_features", again)
    monkeypatch.setattr(EmbeddingModel, "features", again)
    other = train(recipe.with_overrides({"seed": 0}), tmp_path / "again", quiet=True)
    assert other.history[0]["val_knn1_accuracy"] == run.history[0]["val_knn1_accuracy"]
    before = run.metrics
    after = remeasure(run)
    assert after == pytest.approx(before, rel=1e-6)
    tried = try_out(recipe, tmp_path / "trial", quiet=True)
    queries, gallery = run.embeddings("validation"), run.embeddings("train")
    nearest = torch.cdist(torch.tensor(queries.embeddings), torch.tensor(gallery.embeddings)).argmin(1)
    found = (gallery.labels[nearest.numpy()] == queries.labels).mean()
    assert tried["val_knn1_accuracy"] == pytest.approx(found)
