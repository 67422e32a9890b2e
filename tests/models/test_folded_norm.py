"""The course sheet's network in fewer passes computes what its layers do, one after the other, in float64."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from likewise.models import EmbeddingModel, InputSpec, SiameseCNN, SiameseCNNOptions
from likewise.models.folded_norm import folds


def encoder(size: tuple[int, int], *, channels: int = 1) -> SiameseCNN:
    torch.manual_seed(0)
    made = SiameseCNN(channels, size).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.no_grad():
        for name, value in [*made.named_parameters(), *made.named_buffers()]:
            if "running_var" in name:
                value.uniform_(0.5, 2.0)
            elif value.ndim == 1 and value.is_floating_point():
                value.normal_()  # of both signs: a falling normalisation turns the pooling round
    return made


def layers(made: SiameseCNN, images: Tensor) -> Tensor:
    result: Tensor = made.linear(made.features(images).flatten(1))
    return result


@pytest.mark.parametrize(("size", "channels"), [((28, 28), 1), ((11, 17), 3), ((4, 5), 1)])
def test_training_is_that_of_the_layers(size: tuple[int, int], channels: int) -> None:
    folded = encoder(size, channels=channels)
    exact = copy.deepcopy(folded).double()
    images = torch.randn(16, channels, *size).requires_grad_()
    same = images.detach().double().requires_grad_()
    weights = torch.randn(16, folded.out_features)
    result, wanted = folded(images), layers(exact, same)
    assert folds(folded.features, images)
    torch.testing.assert_close(result.double(), wanted, rtol=1e-4, atol=1e-4)
    (result * weights).sum().backward()
    (wanted * weights).sum().backward()
    pairs = [
        (images.grad, same.grad),
        *((a.grad, b.grad) for a, b in zip(folded.parameters(), exact.parameters(), strict=True)),
    ]
    for found, expected in pairs:
        assert found is not None
        assert expected is not None
        torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()) + 1e-4)
    for one, other in zip(folded.buffers(), exact.buffers(), strict=True):
        torch.testing.assert_close(one.double(), other.double(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(28, 28), (11, 17)])
def test_evaluation_is_that_of_the_layers_and_moves_no_average(size: tuple[int, int]) -> None:
    folded = encoder(size).eval()
    before = copy.deepcopy(folded.state_dict())
    images = torch.randn(5, 1, *size)
    wanted = layers(copy.deepcopy(folded).double(), images.double())
    with torch.inference_mode():
        torch.testing.assert_close(folded(images).double(), wanted, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(folded(images).double(), wanted, rtol=1e-4, atol=1e-4)
    assert all(torch.equal(value, before[name]) for name, value in folded.state_dict().items())


def test_what_is_not_plain_float32_on_a_cpu_passes_the_layers() -> None:
    made, images = encoder((8, 8)), torch.randn(4, 1, 8, 8)
    assert folds(made.features, images)
    assert not folds(copy.deepcopy(made).double().features, images.double())
    assert not folds(made.features, images.to("meta"))


def test_chunks_computed_twice_move_the_averages_once() -> None:
    spec = InputSpec(channels=1, height=8, width=8, mean=(0.5,), std=(0.25,))
    torch.manual_seed(0)
    model = EmbeddingModel(SiameseCNNOptions(), spec, embedding_dim=3)
    images = torch.randint(0, 256, (8, 1, 8, 8), dtype=torch.uint8)
    once = copy.deepcopy(model)
    once(images[:4]), once(images[4:])
    model.chunk_size = 4
    model(images).square().sum().backward()
    for name, value in model.encoder.named_buffers():
        if "running" in name:
            torch.testing.assert_close(value, once.encoder.get_buffer(name))
