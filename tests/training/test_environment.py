"""What a run does with the machine it is on."""

from __future__ import annotations

import dataclasses
import importlib
import json
import time
from pathlib import Path

import pytest
import torch

from likewise.data import load_splits
from likewise.data.feature_store import FrozenImages
from likewise.models import EmbeddingModel, InputSpec
from likewise.training.environment import computes_bf16, make_fabric
from likewise.training.frozen import FrozenFeatures, frozen_view
from likewise.training.measure import unseen

from .test_resume import tiny

train_module = importlib.import_module("likewise.training.train")


def test_the_precision_of_a_run_on_the_cpu_is_that_of_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    of_the_cpu = computes_bf16("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: not of_the_cpu)
    assert computes_bf16("cpu") is of_the_cpu
    assert computes_bf16("auto") is computes_bf16("cuda") is not of_the_cpu
    assert computes_bf16("mps") is False


def test_features_of_all_sets_share_one_budget() -> None:
    splits = load_splits("digits", validation=200, train_size=600)
    recipe = tiny("cross_entropy", freeze="encoder", flip=False, shift=0)
    model = EmbeddingModel(recipe.encoder, InputSpec.measure(splits.train.take(torch.arange(9))), embedding_dim=4)
    model.freeze_encoder()
    needed = 4 * model.encoder.out_features * (len(splits.train) + len(splits.validation))
    for limit, fits in ((needed, [True, True]), (needed - 1, [True, False])):
        view = frozen_view(recipe.with_overrides({"data.memory_limit": limit}), model)
        assert [isinstance(view(data), FrozenFeatures) for data in (splits.train, splits.validation)] == fits


def test_images_that_would_fill_the_gpu_stay_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "likewise")
    gpu = torch.device("meta")
    train = dataclasses.replace(load_splits("digits", validation=200).train, labels=None, class_names=())
    assert isinstance(train.images, torch.Tensor)
    for free, there in ((2 * train.images.nbytes, True), (2 * train.images.nbytes - 2, False)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, free=free: (free, 2 * free))
        found = train_module._at_hand(train, gpu)
        assert (found.images.device.type == "meta") is there
    assert "they stay in the memory of the CPU" in caplog.text


class OnGPU(torch.Tensor):
    """A tensor that numpy cannot read."""

    def __array__(self, dtype: object = None) -> None:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")


def test_labels_on_a_gpu_are_compared_there() -> None:
    train = torch.tensor([0, 1, 1]).as_subclass(OnGPU)
    assert unseen(train, torch.tensor([2, 3]))
    assert not unseen(train, torch.tensor([1, 3]))


def test_the_clock_of_the_steps_does_not_see_how_features_came(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIKEWISE_HOME", str(tmp_path / "home"))
    found = FrozenImages.of

    def slowly(self: FrozenImages, *arguments: object, **options: object) -> torch.Tensor:
        time.sleep(1.0)
        return found(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(FrozenImages, "of", slowly)
    recipe = tiny("cross_entropy", freeze="encoder", flip=True, shift=0, epochs=1)
    train_module.train_in(tmp_path, recipe, quiet=True, measured=lambda *_: {})
    assert json.loads((tmp_path / "metrics.json").read_text())["train_seconds"] < 1.0


def test_features_of_rounded_weights_are_kept_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIKEWISE_HOME", str(tmp_path / "home"))
    data = load_splits("digits", validation=200, train_size=300).train
    recipe = tiny("cross_entropy")
    torch.manual_seed(0)
    model = EmbeddingModel(recipe.encoder, InputSpec.measure(data.take(torch.arange(9))), embedding_dim=4)
    model.freeze_encoder()
    images = FrozenImages(model)
    exact = images.of(data)
    model.to(torch.bfloat16)
    rounded = images.of(data)
    assert not torch.equal(exact, rounded)
    assert torch.equal(images.of(data), rounded)


def test_auto_is_the_cpu_where_there_is_no_cuda_as_for_every_other_verb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert make_fabric(accelerator="auto", precision="32-true").device.type == "cpu"
