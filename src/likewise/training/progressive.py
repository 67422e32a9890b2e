"""Progressive resizing: a run begins on small images, which cost less, and ends on whole ones.

Howard 2018 ("Training ImageNet in 3 hours for $25; and CIFAR10 for $0.26", fast.ai), with the settings of MosaicML's Composer.
A convolution costs as much as there are pixels, and the first passes learn what can be seen on a quarter of them; the last
ones, on whole images, fit the weights and the batch statistics to what the model is measured on.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from likewise.recipe import TrainingOptions

__all__ = ["resized", "size_at"]

#: Sides are whole multiples of so many pixels, so that a run sees a few sizes and not one a step.
INCREMENT = 4


def size_at(step: int, steps: int, side: int, options: TrainingOptions) -> int:
    """The shorter side of training images at one step, a pure function of the step.

    With s = ``initial_scale`` and f = ``finetune_fraction`` it grows straight from s · side to side over the first
    (1 − f) · steps steps, in multiples of 4 pixels, and is ``side`` from there on.

    Args:
        step: 0 … steps - 1.
        steps: of the whole run.
        side: shorter side of the whole images, in pixels.
        options: of the recipe.

    Example:
        >>> options = TrainingOptions(initial_scale=0.5, finetune_fraction=0.5)
        >>> [size_at(step, 100, 32, options) for step in (0, 10, 20, 30, 40, 50, 99)]
        [16, 16, 20, 24, 28, 32, 32]
    """
    grown = min(1.0, step / max(1.0, (1 - options.finetune_fraction) * steps))
    size = (options.initial_scale + (1 - options.initial_scale) * grown) * side
    return side if grown == 1 else max(1, int(size) // INCREMENT * INCREMENT or int(size))


def resized(images: Tensor, side: int) -> Tensor:
    """Images reduced to a shorter side of so many pixels, area by area; those that have it already as they are.

    Args:
        images: (B, C, H, W) uint8.
        side: in pixels, at most min(H, W).
    """
    height, width = images.shape[2:]
    if side == min(height, width):
        return images
    size = (round(height * side / min(height, width)), round(width * side / min(height, width)))
    if images.device.type == "cpu":
        return F.interpolate(images, size=size, mode="bilinear", antialias=True)
    # Only the CPU reduces bytes with antialiasing.
    reduced = F.interpolate(images.float(), size=size, mode="bilinear", antialias=True)
    return reduced.round().clamp(0, 255).to(images.dtype)
