"""Heads between the embedding and a loss, as the papers have them, and the average in time of a network and its head."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["MomentumCopy", "cosine_momentum", "mlp"]


def mlp(
    widths: Sequence[int],
    *,
    norm: bool = True,
    hidden_bias: bool = False,
    last_bias: bool = False,
    last: nn.Module | None = None,
    activation: type[nn.Module] = nn.ReLU,
) -> nn.Sequential:
    """Linear layers from ``widths[0]`` to ``widths[-1]``, a batch normalisation and an activation after each but the last.

    Args:
        widths: of the input, the hidden layers and the output.
        norm: batch normalisation after each hidden layer.
        hidden_bias: biases in the hidden layers.
        last_bias: a bias in the last layer.
        last: what follows the last layer.
        activation: after each hidden layer.
    """
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths[:-1]):
        layers.append(nn.Linear(inputs, outputs, bias=hidden_bias))
        if norm:
            layers.append(nn.BatchNorm1d(outputs))
        layers.append(activation())
    layers.append(nn.Linear(widths[-2], widths[-1], bias=last_bias))
    return nn.Sequential(*layers, *([last] if last else []))


class MomentumCopy(nn.Module):
    """A copy of some modules, applied one after the other, that follows their weights slowly and gets no gradient.

    Its batch normalisation has running statistics of its own, from what passes through it.

    Args:
        *modules: what is copied; the copy starts with the same weights.
    """

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__()
        self.copies = nn.ModuleList(copy.deepcopy(module) for module in modules)
        self.requires_grad_(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """The modules' output, without gradient."""
        out = images
        for module in self.copies:
            out = module(out)
        return out

    @torch.no_grad()
    def follow(self, modules: Sequence[nn.Module], momentum: float) -> None:
        """weights ← momentum · weights + (1 - momentum) · those of ``modules``."""
        ours: list[Tensor] = [parameter for module in self.copies for parameter in module.parameters()]
        theirs: list[Tensor] = [parameter for module in modules for parameter in module.parameters()]
        torch._foreach_lerp_(ours, theirs, 1 - momentum)


def cosine_momentum(start: float, done: float) -> float:
    """Momentum that rises from ``start`` to 1 as half a cosine while ``done`` goes from 0 to 1 (BYOL, MoCo v3, DINO).

    Example:
        >>> [round(cosine_momentum(0.99, done), 4) for done in (0.0, 0.5, 1.0)]
        [0.99, 0.995, 1.0]
    """
    return 1 - (1 - start) * (math.cos(math.pi * done) + 1) / 2
