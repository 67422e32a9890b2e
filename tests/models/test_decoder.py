"""Decoders give back the size they were asked for; patches are taken apart and put together again."""

from __future__ import annotations

import pytest
import torch

from likewise.errors import ModelError
from likewise.models import (
    ConvDecoder,
    EmbeddingModel,
    InputSpec,
    StridedCNN,
    StridedCNNOptions,
    VisionTransformerOptions,
)
from likewise.models.patches import from_patches, patch_positions, to_patches


@pytest.mark.parametrize("size", [(28, 28), (32, 32), (64, 64), (96, 96), (17, 23), (8, 8), (5, 5), (2, 3)])
@pytest.mark.parametrize("guide", [0, 2])
def test_what_comes_out_has_the_size_of_the_image(size: tuple[int, int], guide: int) -> None:
    decoder = ConvDecoder(7, 3, size, guide_channels=guide)
    seen = torch.rand(2, guide, *size) if guide else None
    drawn = decoder(torch.rand(2, 7), seen)
    assert drawn.shape == (2, 3, *size)
    drawn.square().sum().backward()
    assert all(parameter.grad is not None for parameter in decoder.parameters())


def test_the_decoder_mirrors_the_sheets_encoder() -> None:
    encoder, decoder = StridedCNN(3, (96, 96)), ConvDecoder(10, 3, (96, 96))
    assert encoder.out_features == 48 * 12 * 12
    down = [(m.in_channels, m.out_channels) for m in encoder.modules() if isinstance(m, torch.nn.Conv2d)]
    up = [(m.out_channels, m.in_channels) for m in decoder.modules() if isinstance(m, torch.nn.ConvTranspose2d)]
    assert down == up[::-1] == [(3, 12), (12, 24), (24, 48)]
    for layer in (*encoder.modules(), *decoder.modules()):
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)):
            assert (layer.kernel_size, layer.stride, layer.padding) == ((4, 4), (2, 2), (1, 1))


def test_a_guide_that_is_missing_and_an_image_that_is_too_small_are_named() -> None:
    with pytest.raises(ValueError, match="without a guide"):
        ConvDecoder(4, 1, (8, 8), guide_channels=1)(torch.rand(1, 4))
    with pytest.raises(ModelError, match=r"images of 4×9.*at least 8×8"):
        StridedCNNOptions().build(1, (4, 9))


@pytest.mark.parametrize("size", [(12, 12), (13, 7), (3, 20)])
def test_patches_go_together_again(size: tuple[int, int]) -> None:
    images = torch.rand(2, 3, *size)
    patches = to_patches(images, 4)
    assert patches.shape == (2, -(-size[0] // 4) * -(-size[1] // 4), 48)
    torch.testing.assert_close(from_patches(patches, size, 4), images)
    first = images[0, :, :4, :4]
    torch.testing.assert_close(patches[0, 0].view(3, 4, 4)[:, : first.shape[1]], first)


def test_positions_tell_every_patch_from_every_other() -> None:
    positions = patch_positions((6, 5), 32)
    assert positions.shape == (30, 32)
    assert (torch.cdist(positions, positions) + torch.eye(30) > 0.1).all()


def test_a_transformer_sees_only_the_patches_that_are_visible() -> None:
    torch.manual_seed(0)
    encoder = VisionTransformerOptions(dim=16, depth=2).build(1, (16, 16))
    images = torch.rand(2, 1, 16, 16)
    visible = torch.tensor([[0, 5, 9], [2, 3, 15]])
    hidden = images.clone()
    shown = torch.zeros(2, 16, 16).scatter(1, visible[:, :, None].expand(-1, -1, 16), 1.0)
    hidden[from_patches(shown, (16, 16), 4) == 0] = 7.0
    torch.testing.assert_close(encoder.tokens(images, visible), encoder.tokens(hidden, visible))
    everything = torch.arange(16).expand(2, -1)
    torch.testing.assert_close(encoder.tokens(images, everything), encoder.tokens(images))


def test_heads_must_fit() -> None:
    with pytest.raises(ValueError, match="multiple of heads"):
        VisionTransformerOptions(dim=20, heads=3)


def test_pixels_go_through_the_model_and_back() -> None:
    spec = InputSpec(channels=3, height=8, width=8, mean=(0.2, 0.5, 0.8), std=(0.1, 0.2, 0.3))
    model = EmbeddingModel(StridedCNNOptions(), spec, embedding_dim=2)
    images = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    assert torch.equal(model.to_pixels(model.normalized(images)), images)
