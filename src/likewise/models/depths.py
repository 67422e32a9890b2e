"""How far from a network's end each of its parameters lies, in layers.

Fine-tuning wants it: what is close to the pixels is general already and should move least (Howard & Ruder 2018, "Universal
Language Model Fine-tuning for Text Classification", section 3.2). A network says its layers by how it is put together: the
members of its ``nn.Sequential`` and ``nn.ModuleList`` in their order, and what is registered before and behind them. A member
without a matrix or a filter, such as a normalisation, belongs to the layer before it. Only what wants a gradient counts.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

__all__ = ["layers_behind"]


def layers_behind(network: nn.Module) -> dict[str, int]:
    """For each parameter that wants a gradient, by name, the number of layers between its own and the end of ``network``:
    0 in the last one.

    Args:
        network: whose modules are registered in the order in which they are passed.

    Example:
        >>> network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
        >>> layers_behind(network)
        {'0.weight': 1, '0.bias': 1, '1.weight': 1, '1.bias': 1, '3.weight': 0, '3.bias': 0}
    """
    positions: dict[str, int] = {}
    layer = -1
    for prefix, member in _members(network, ""):
        parameters = {name: each for name, each in member.named_parameters(prefix) if each.requires_grad}
        if layer < 0 or any(parameter.ndim > 1 for parameter in parameters.values()):
            layer += 1
        positions |= dict.fromkeys(parameters, layer)
    # a parameter of the network itself, such as a class token, stands before its layers
    trained = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    return {name: layer - positions.get(name, 0) for name in trained}


def _members(module: nn.Module, prefix: str, *, listed: bool = False) -> Iterator[tuple[str, nn.Module]]:
    """The modules that are layers, in order, with their names. What holds a list of modules is taken apart, and a list in a
    list; a block that is ``listed`` is one layer, whatever it holds.
    """
    for name, child in module.named_children():
        path = f"{prefix}.{name}" if prefix else name
        if isinstance(child, nn.Sequential | nn.ModuleList):
            yield from _members(child, path, listed=True)
        elif not listed and any(isinstance(inner, nn.ModuleList | nn.Sequential) for inner in child.modules()):
            yield from _members(child, path)
        elif any(parameter.requires_grad for parameter in child.parameters()):
            yield path, child
