"""Parameters of a borrowed network that what is taken from it does not depend on, such as the pooler of a BERT.

They are stored with the others, but they are not trained: an optimiser would only decay them, several processes would wait for
their gradients, and a learning rate that falls from layer to layer would count them as the last one.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

__all__ = ["freeze_unused"]


def freeze_unused(network: nn.Module, output: Tensor) -> None:
    """No gradient for the parameters of ``network`` that ``output``, which it computed, does not depend on.

    Example:
        >>> import torch
        >>> network = nn.ModuleDict({"layer": nn.Linear(2, 3), "pooler": nn.Linear(3, 3)})
        >>> freeze_unused(network, network["layer"](torch.ones(1, 2)))
        >>> [name for name, parameter in network.named_parameters() if parameter.requires_grad]
        ['layer.weight', 'layer.bias']
    """
    used: set[int] = set()
    seen: set[Any] = set()
    ahead: list[Any] = [output.grad_fn]
    while ahead:
        node = ahead.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        used.add(id(getattr(node, "variable", None)))
        ahead += [before for before, _ in node.next_functions]
    for parameter in network.parameters():
        if id(parameter) not in used:
            parameter.requires_grad_(False)
