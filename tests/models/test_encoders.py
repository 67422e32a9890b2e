"""Contract of every encoder: any channels, odd sizes, one image, features of the size it names."""

from __future__ import annotations

import pytest
import torch

from likewise.errors import ModelError
from likewise.models import (
    EmbeddingModel,
    InputSpec,
    ResNetOptions,
    SiameseCNNOptions,
    WhitenedCNNOptions,
    encoder_names,
    find_encoder,
)
from likewise.models.small_cnn import _largest_of_nine

# The encoder transformers needs a source: tests/models/test_pretrained.py makes one.
ENCODERS = [name for name in encoder_names() if name != "transformers"]


def spec(channels: int, height: int, width: int) -> InputSpec:
    return InputSpec(channels=channels, height=height, width=width, mean=(0.5,) * channels, std=(0.25,) * channels)


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize(
    ("channels", "height", "width"), [(1, 28, 28), (3, 32, 32), (3, 17, 23), (1, 8, 8), (3, 96, 96)]
)
def test_features_have_the_size_the_encoder_names(name: str, channels: int, height: int, width: int) -> None:
    encoder = find_encoder(name)().build(channels, (height, width))  # type: ignore[call-arg]
    features = encoder(torch.rand(2, channels, height, width))
    assert features.shape == (2, encoder.out_features)
    assert torch.isfinite(features).all()


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("normalize", ["never", "always"])
def test_gradients_reach_every_parameter(name: str, normalize: str) -> None:
    torch.manual_seed(0)
    model = EmbeddingModel(find_encoder(name)(), spec(1, 16, 16), embedding_dim=5, normalize=normalize)  # type: ignore[call-arg]
    images = torch.randint(0, 256, (8, 1, 16, 16), dtype=torch.uint8)
    model(images).pow(3).sum().backward()
    trained = [p for p in model.parameters() if p.requires_grad]
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in trained)


@pytest.mark.parametrize("name", ENCODERS)
def test_an_embedding_does_not_depend_on_its_batch(name: str) -> None:
    torch.manual_seed(0)
    model = EmbeddingModel(find_encoder(name)(), spec(3, 20, 20), embedding_dim=4)  # type: ignore[call-arg]
    images = torch.randint(0, 256, (7, 3, 20, 20), dtype=torch.uint8)
    together, apart = model.embed(images), model.embed(images, batch_size=1)
    torch.testing.assert_close(torch.from_numpy(together), torch.from_numpy(apart), rtol=1e-4, atol=1e-5)


def test_windows_for_metal_are_those_of_the_adaptive_pooling() -> None:
    for height, width in [(1, 2), (2, 3), (4, 5), (7, 8), (9, 11)]:
        grid = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(height))
        assert torch.equal(_largest_of_nine(grid), torch.nn.functional.adaptive_max_pool2d(grid, 3))


def test_siamese_cnn_is_the_course_sheets_network() -> None:
    model = EmbeddingModel(SiameseCNNOptions(), spec(1, 28, 28), embedding_dim=10)
    assert sum(parameter.numel() for parameter in model.parameters()) == 7343
    kinds = [type(layer).__name__ for layer in model.encoder.features]
    block = ["Conv2d", "ReLU", "BatchNorm2d"]
    assert kinds == [*block, *block, "MaxPool2d", *block, *block, "MaxPool2d", "Conv2d", "ReLU"]


@pytest.mark.parametrize(
    ("depth", "stem", "parameters"),
    [(18, "imagenet", 11_176_512), (50, "imagenet", 23_508_032), (50, "cifar", 23_500_352)],
)
def test_resnet_has_the_published_number_of_parameters(depth: int, stem: str, parameters: int) -> None:
    encoder = ResNetOptions(depth=depth, stem=stem).build(3, (32, 32))  # type: ignore[arg-type]
    assert sum(parameter.numel() for parameter in encoder.parameters()) == parameters


def test_resnet_calls_its_parameters_as_torchvision_does() -> None:
    names = set(ResNetOptions(depth=50).build(3, (224, 224)).state_dict())
    assert {"conv1.weight", "bn1.running_var", "layer1.0.downsample.0.weight", "layer4.2.conv3.weight"} <= names
    assert len([name for name in names if not name.endswith("num_batches_tracked")]) == 265


@pytest.mark.parametrize(("side", "grid"), [(32, (4, 4)), (96, (3, 3))])
def test_resnets_stem_fits_the_image(side: int, grid: tuple[int, int]) -> None:
    encoder = ResNetOptions(depth=18, width=4).build(3, (side, side))
    seen: list[torch.Size] = []
    encoder.get_submodule("layer4").register_forward_hook(lambda *call: seen.append(call[2].shape[2:]))
    encoder(torch.rand(2, 3, side, side))
    assert seen == [torch.Size(grid)]


def test_whitened_patches_are_uncorrelated_and_of_variance_one() -> None:
    torch.manual_seed(0)
    images = (torch.rand(300, 3, 1, 1) * 150 + 100 * torch.rand(300, 3, 16, 16)).to(torch.uint8)
    model = EmbeddingModel(WhitenedCNNOptions(widths=(8,)), InputSpec.measure(images), embedding_dim=4)
    model.fit_to(images)
    with torch.no_grad():
        whitened = model.encoder.get_submodule("whiten")(model.normalized(images))
    assert whitened.shape == (300, 24, 15, 15)
    covariance = whitened[:, :12].transpose(0, 1).flatten(1).cov()
    torch.testing.assert_close(covariance, torch.eye(12), atol=0.02, rtol=0)
    torch.testing.assert_close(whitened[:, 12:], -whitened[:, :12])
    assert not model.encoder.get_submodule("whiten").weight.requires_grad


def test_an_unknown_encoder_and_images_that_are_too_small_are_named() -> None:
    with pytest.raises(ModelError, match=r"'resnext' is not known\. Known: .*siamese_cnn, small_cnn, .*whitened_cnn"):
        find_encoder("resnext")
    with pytest.raises(ModelError, match=r"3×3.*at least 4×4"):
        SiameseCNNOptions().build(1, (3, 3))
