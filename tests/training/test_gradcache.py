"""Chunks change what a step costs, not what it computes; what cannot be cut into chunks is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from likewise.errors import TrainingError
from likewise.models import EmbeddingModel, InputSpec, SmallCNNOptions
from likewise.objectives import Batch, find_objective
from likewise.recipe import Recipe
from likewise.training import train
from likewise.training.gradcache import cache_gradients

from .test_resume import tiny


def model_without_batch_statistics() -> EmbeddingModel:
    torch.manual_seed(0)
    spec = InputSpec(channels=1, height=12, width=12, mean=(0.5,), std=(0.3,))
    model = EmbeddingModel(SmallCNNOptions(widths=(4, 8)), spec, embedding_dim=3, class_names="abc")
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.eval()
            layer.train = lambda mode=True, layer=layer: layer  # type: ignore[method-assign]
    return model.double()


@pytest.mark.parametrize("size", [1, 4, 10, 64])
@pytest.mark.parametrize("name", ["contrastive", "siamese"])
def test_loss_and_gradient_are_those_of_the_whole_batch(name: str, size: int) -> None:
    images = torch.randint(0, 256, (20, 1, 12, 12), generator=torch.Generator().manual_seed(1))
    labels = torch.arange(20) % 3
    different = (labels[:10] != labels[10:]).double() if name == "siamese" else None
    batch = Batch(torch.arange(20), labels, different)
    outcomes = []
    for chunk in (None, size):
        objective = find_objective(name)().build(model_without_batch_statistics())  # type: ignore[call-arg]
        if chunk:
            cache_gradients(objective, chunk, name=name)
        loss = objective(images, batch)
        loss.backward()
        outcomes.append([loss.detach(), *(parameter.grad for parameter in objective.parameters())])
    for whole, chunked in zip(*outcomes, strict=True):
        torch.testing.assert_close(chunked, whole, rtol=1e-6, atol=1e-7)


def test_of_the_chunks_only_the_images_are_kept() -> None:
    kept: dict[int | None, int] = {}
    images = torch.zeros(64, 1, 12, 12, dtype=torch.uint8)
    for chunk in (None, 8):
        model = model_without_batch_statistics()
        model.chunk_size = chunk
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t, sizes=sizes: (sizes.append(t.numel()), t)[1], lambda t: t
        ):
            embeddings = model(images)
        kept[chunk] = sum(sizes)
        embeddings.sum().backward()
    assert kept[8] == images.numel() < kept[None] / 5


def test_running_averages_move_once_a_step() -> None:
    spec = InputSpec(channels=1, height=12, width=12, mean=(0.5,), std=(0.3,))
    images = torch.randint(0, 256, (6, 1, 12, 12), generator=torch.Generator().manual_seed(1))
    averages = []
    for chunk in (None, 6):
        torch.manual_seed(0)
        model = EmbeddingModel(SmallCNNOptions(widths=(4, 8)), spec, embedding_dim=3)
        model.chunk_size = chunk
        model(images).sum().backward()
        averages.append(torch.cat([layer for name, layer in model.named_buffers() if "running" in name]))
    torch.testing.assert_close(*averages)


def test_a_run_with_it_says_what_batch_normalisation_sees(tmp_path: Path) -> None:
    run = train(tiny("contrastive", epochs=1, gradcache=20), tmp_path / "run", quiet=True)
    assert "batch normalisation in the model sees chunks of 20 images" in (run.folder / "log.txt").read_text()


@pytest.mark.parametrize(
    ("objective", "encoder"),
    [({"name": "autoencoder", "variational": True}, "small_cnn"), ({"name": "masked_reconstruction"}, "vit")],
)
def test_an_objective_that_goes_around_the_model_is_refused(
    objective: dict[str, object], encoder: str, tmp_path: Path
) -> None:
    recipe = tiny("contrastive", gradcache=20).model_dump() | {"objective": objective, "encoder": {"name": encoder}}
    with pytest.raises(TrainingError, match=r"passes 50 images to the encoder at once, and gradcache is 20"):
        train(Recipe.parse(recipe), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run" / "checkpoints").exists()
