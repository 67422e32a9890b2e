"""Features of a frozen encoder are kept part by part: what a killed run computed is not computed again."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from likewise.data import ImageDataset, feature_store
from likewise.data.feature_store import FrozenImages
from likewise.models import EmbeddingModel
from likewise.models.input_spec import InputSpec
from likewise.models.small_cnn import SmallCNNOptions


@pytest.fixture
def model() -> EmbeddingModel:
    torch.manual_seed(0)
    seen = InputSpec(channels=1, height=8, width=8, mean=(0.5,), std=(0.3,))
    model = EmbeddingModel(SmallCNNOptions(widths=(4, 8)), seen, embedding_dim=4)
    model.freeze_encoder()
    return model


@pytest.fixture
def data() -> ImageDataset:
    images = torch.randint(0, 256, (70, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    return ImageDataset(
        name="noise",
        split="train",
        images=images,
        labels=None,
        class_names=(),
        captions=None,
        ids=tuple(f"{row:02}" for row in range(70)),
        fingerprint="0" * 64,
        origin="drawn",
    )


def test_a_killed_computation_goes_on_where_it_was(
    model: EmbeddingModel, data: ImageDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIKEWISE_HOME", str(tmp_path))
    monkeypatch.setattr(feature_store, "_PART", 20)
    forward, seen = EmbeddingModel.frozen_features, []

    def watched(self: EmbeddingModel, images: torch.Tensor) -> torch.Tensor:
        if sum(seen) == 40:
            raise KeyboardInterrupt
        seen.append(len(images))
        return forward(self, images)

    with monkeypatch.context() as patch:
        patch.setattr(EmbeddingModel, "frozen_features", watched)
        with pytest.raises(KeyboardInterrupt):
            FrozenImages(model).of(data)
        seen[:] = [1]  # from here on everything is counted
        found = FrozenImages(model).of(data)
    assert sum(seen) - 1 == 30
    model.eval()
    with torch.inference_mode():
        assert torch.allclose(found, model.frozen_features(data.images).float(), atol=1e-5)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1


def test_a_sample_finds_what_its_whole_set_left(
    model: EmbeddingModel, data: ImageDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIKEWISE_HOME", str(tmp_path))
    whole = FrozenImages(model).of(data)
    forward, seen = EmbeddingModel.frozen_features, []

    def watched(self: EmbeddingModel, images: torch.Tensor) -> torch.Tensor:
        seen.append(len(images))
        return forward(self, images)

    monkeypatch.setattr(EmbeddingModel, "frozen_features", watched)
    chosen = torch.tensor([60, 3, 4, 41])
    assert torch.equal(FrozenImages(model).of(data.subset(chosen)), whole[chosen])
    assert seen == []
    other = dataclasses.replace(data, images=torch.cat([data.images[:5], 255 - data.images[5:8]]), ids=data.ids[:8])
    assert torch.equal(FrozenImages(model).of(other)[:5], whole[:5])
    assert seen == [3]


def test_a_set_that_is_a_part_of_a_larger_one_stays_kept(
    model: EmbeddingModel, data: ImageDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIKEWISE_HOME", str(tmp_path))
    monkeypatch.setattr(feature_store, "_PART", 20)
    monkeypatch.setattr(feature_store, "_SEARCHED", 0)
    FrozenImages(model).of(data.subset(torch.arange(20)))
    [small] = tmp_path.rglob("*.safetensors")
    FrozenImages(model).of(data)
    assert small.is_file()
    assert len(list(tmp_path.rglob("*.safetensors"))) == 2
