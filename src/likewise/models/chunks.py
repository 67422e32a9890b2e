"""Images through a network in chunks whose activations are computed again in the backward pass.

What GradCache (Gao et al. 2021) does with a loss and an encoder at hand, here as a property of the network alone, so that
it fits any loss: chunks pass without keeping anything, the loss sees all embeddings at once, and in the backward pass each
chunk passes once more, with a graph, and hands its gradient on. Memory is that of one chunk; the price is one more forward
pass. Values and gradients are those of the whole batch wherever an image's embedding depends on that image alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from likewise.losses._random import drawing_from, random_states

__all__ = ["in_chunks"]


@contextmanager
def _averages_stay(module: nn.Module) -> Iterator[None]:
    """The second pass of a chunk must not move the running averages of batch normalisation a second time."""
    layers = [layer for layer in module.modules() if isinstance(layer, _BatchNorm)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum


@contextmanager
def _second_pass(module: nn.Module, states: dict[str, Tensor], images: Tensor) -> Iterator[None]:
    with _averages_stay(module), drawing_from(states, [images]):
        yield


def in_chunks(module: nn.Module, function: Callable[[Tensor], Tensor], images: Tensor, size: int) -> Tensor:
    """``function(images)``, computed by chunks of nearly equal size.

    Args:
        module: what ``function`` computes with.
        function: rows of images to as many rows, each from its own image alone.
        images: (N, …), N ≥ 1.
        size: largest number of images in a chunk, at least 1.

    Returns:
        What ``function`` returns for the whole, up to rounding.
    """

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _second_pass(module, random_states([images]), images)

    parts = images.tensor_split(-(-len(images) // size))
    # torch's own keeping of random states knows nothing of Metal
    passed = [
        checkpoint(function, part, use_reentrant=False, context_fn=contexts, preserve_rng_state=False) for part in parts
    ]
    return torch.cat(passed)
