"""Residual networks (He et al. 2016, "Deep Residual Learning for Image Recognition"), with the stem that fits the image.

Parameters are called as in torchvision (``layer1.0.conv1.weight`` …), so its weights load as they are. As there, a bottleneck
carries its stride in the 3×3 convolution ("ResNet v1.5"). The ``cifar`` stem is the one of SimCLR and SupContrast for 32-pixel
images: one 3×3 convolution of stride 1 and no pooling, which leaves a 4×4 grid at the end where the ``imagenet`` stem would
leave a single position.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from likewise.models._blocks import BlockEncoder
from likewise.models._options import EncoderOptions
from likewise.models.patch_convolution import Conv2d

__all__ = ["ResNet", "ResNetOptions"]

_STAGES = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
_LARGEST_SMALL_IMAGE = 64  # pixels; below it the imagenet stem's eightfold reduction leaves too little to look at


class _Basic(nn.Module):
    """Two 3×3 convolutions."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = Conv2d(inputs, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, grid: Tensor) -> Tensor:
        kept = grid if self.downsample is None else self.downsample(grid)
        out = F.relu(self.bn1(self.conv1(grid)), inplace=True)
        return F.relu(self.bn2(self.conv2(out)) + kept, inplace=True)


class _Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolutions, the last four times as wide."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = Conv2d(width, width * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)
        self.downsample = _shortcut(inputs, width * self.expansion, stride)

    def forward(self, grid: Tensor) -> Tensor:
        kept = grid if self.downsample is None else self.downsample(grid)
        out = F.relu(self.bn1(self.conv1(grid)), inplace=True)
        out = F.relu(self.bn2(self.conv2(out)), inplace=True)
        return F.relu(self.bn3(self.conv3(out)) + kept, inplace=True)


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    """The projection of the residual connection where the shape changes."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class ResNet(BlockEncoder):
    """A residual network up to its global average.

    Args:
        in_channels: channels of the images.
        depth: 18, 34 (basic blocks), 50, 101 or 152 (bottlenecks).
        stem: ``cifar`` or ``imagenet``.
        width: channels of the first stage; 64 is the published network.
    """

    def __init__(self, in_channels: int, depth: int, stem: Literal["cifar", "imagenet"], width: int = 64) -> None:
        super().__init__()
        block = _Basic if depth < 50 else _Bottleneck
        small = stem == "cifar"
        self.conv1 = (
            Conv2d(in_channels, width, 3, padding=1, bias=False)
            if small
            else Conv2d(in_channels, width, 7, 2, padding=3, bias=False)
        )
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, 2, padding=1)
        inputs = width
        for stage, blocks in enumerate(_STAGES[depth]):
            layer = nn.Sequential()
            for index in range(blocks):
                layer.append(block(inputs, width * 2**stage, 2 if stage and not index else 1))
                inputs = width * 2**stage * block.expansion
            self.add_module(f"layer{stage + 1}", layer)
        self.out_features = inputs
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, _Basic):
                nn.init.zeros_(module.bn2.weight)  # each block begins as the identity (Goyal et al. 2017, section 5.1)
            elif isinstance(module, _Bottleneck):
                nn.init.zeros_(module.bn3.weight)

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """The residual blocks of all four stages."""
        return [block for stage in range(1, 5) for block in self.get_submodule(f"layer{stage}").children()]

    def stem(self, images: Tensor) -> Tensor:
        """The first convolution, and pooling where the stem has any."""
        grid: Tensor = self.maxpool(F.relu(self.bn1(self.conv1(images)), inplace=True))
        return grid

    def pool(self, grid: Tensor) -> Tensor:
        """The mean over the grid."""
        pooled: Tensor = grid.mean(dim=(2, 3))
        return pooled

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) float to (N, ``out_features``) float, stage by stage, so that hooks on a stage see its grid."""
        grid = self.stem(images)
        for stage in ("layer1", "layer2", "layer3", "layer4"):
            grid = self.get_submodule(stage)(grid)
        return self.pool(grid)


class ResNetOptions(EncoderOptions):
    """A residual network.

    Attributes:
        depth: 18, 34, 50, 101 or 152 layers.
        stem: ``cifar`` (3×3, stride 1, no pooling), ``imagenet`` (7×7, stride 2, pooled), or ``auto``: ``cifar`` for images of
            up to 64 pixels a side.
        width: channels of the first stage, each further stage has twice as many; 64 is the published network.
    """

    any_size: ClassVar[bool] = True
    name: Literal["resnet"] = "resnet"
    depth: Literal[18, 34, 50, 101, 152] = 50
    stem: Literal["auto", "cifar", "imagenet"] = "auto"
    width: int = Field(default=64, ge=1)

    def build(self, in_channels: int, image_size: tuple[int, int]) -> ResNet:
        """Build the network; see ``ResNet``."""
        stem = self.stem
        if stem == "auto":
            stem = "cifar" if max(image_size) <= _LARGEST_SMALL_IMAGE else "imagenet"
        return ResNet(in_channels, self.depth, stem, self.width)
