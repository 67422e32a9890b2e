"""What images a model takes, and images of other shapes brought to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from likewise.errors import ModelError

__all__ = ["Images", "InputSpec", "batches_of"]

Images = Tensor | NDArray[np.generic] | Sequence[Image.Image]


class InputSpec(BaseModel):
    """What images a model takes: channels, size in pixels, and the mean and deviation of its training images in 0..1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: int
    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def measure(cls, images: Tensor) -> InputSpec:
        """Shape of ``images`` (N, C, H, W) uint8 with the mean and deviation of each channel.

        The deviation of a constant channel is taken as 1, so that it normalises to zero.
        """
        _, channels, height, width = images.shape
        counts = torch.stack([torch.bincount(images[:, c].flatten(), minlength=256) for c in range(channels)]).double()
        levels = torch.arange(256, dtype=torch.float64) / 255
        share = counts / counts.sum(dim=1, keepdim=True)
        mean = share @ levels
        variance = (share * (levels - mean[:, None]) ** 2).sum(dim=1)
        std = torch.where(variance > 0, variance.sqrt(), torch.ones_like(variance))
        return cls(channels=channels, height=height, width=width, mean=tuple(mean.tolist()), std=tuple(std.tolist()))

    def fitted(self, batch: Tensor) -> Tensor:
        """Images (B, C, H, W) of any size and of 1 or 3 channels, as the model takes them; see ``EmbeddingModel.embed``."""
        if batch.shape[1] != self.channels:
            if {batch.shape[1], self.channels} != {1, 3}:
                raise ModelError(
                    f"Images have {batch.shape[1]} channels.", expected=f"The model takes {self.channels}, 1 and 3 mix."
                )
            if self.channels == 3:
                batch = batch.expand(-1, 3, -1, -1)
            else:
                luma = torch.tensor([0.299, 0.587, 0.114], device=batch.device).view(1, 3, 1, 1)
                batch = (batch.float() * luma).sum(dim=1, keepdim=True)
        height, width = batch.shape[2:]
        if (height, width) != (self.height, self.width):
            scale = max(self.height / height, self.width / width)
            size = (max(self.height, round(height * scale)), max(self.width, round(width * scale)))
            batch = F.interpolate(batch.float(), size=size, mode="bilinear", antialias=True, align_corners=False)
            top, left = (size[0] - self.height) // 2, (size[1] - self.width) // 2
            batch = batch[:, :, top : top + self.height, left : left + self.width]
        return batch


def batches_of(images: Images, batch_size: int) -> Iterator[Tensor]:
    """Cut images as ``EmbeddingModel.embed`` takes them into (B, C, H, W) tensors of one size each."""
    if isinstance(images, (Tensor, np.ndarray)):
        tensor = images if isinstance(images, Tensor) else torch.from_numpy(np.ascontiguousarray(images))
        if tensor.ndim == 3:
            tensor = tensor.unsqueeze(1)
        if tensor.ndim != 4:
            raise ModelError(
                f"Images have shape {tuple(tensor.shape)}.",
                expected="Expected (N, C, H, W) or (N, H, W), values 0 to 255.",
                advice="Move the channels before height and width, and add a batch axis for one image.",
            )
        yield from tensor.split(batch_size)
        return
    for image in images:
        array = np.asarray(image.convert("L" if image.mode in ("1", "L", "I", "F") else "RGB"))
        tensor = torch.from_numpy(array.copy())
        yield (tensor[None] if tensor.ndim == 2 else tensor.permute(2, 0, 1)).unsqueeze(0)
