"""The random states that a second pass through an encoder needs, so that it draws what the first one drew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor


def random_states(inputs: Iterable[Tensor]) -> dict[str, Tensor]:
    """By device: of the host, of the CUDA devices that are in use or hold one of ``inputs``, of Metal where it does."""
    devices = {tensor.device for tensor in inputs}
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        places = {torch.cuda.current_device(), *(device.index for device in devices if device.type == "cuda")}
        states |= {f"cuda:{place}": torch.cuda.get_rng_state(place) for place in sorted(places)}
    if any(device.type == "mps" for device in devices):
        states["mps"] = torch.mps.get_rng_state()
    return states


@contextmanager
def drawing_from(states: Mapping[str, Tensor], inputs: Iterable[Tensor]) -> Iterator[None]:
    """Draw again from ``states`` of the same inputs, and go on afterwards as if nothing had been drawn."""
    now = random_states(inputs)
    _set(states)
    try:
        yield
    finally:
        _set(now)


def _set(states: Mapping[str, Tensor]) -> None:
    for device, state in states.items():
        if device == "cpu":
            torch.set_rng_state(state)
        elif device == "mps":
            torch.mps.set_rng_state(state)
        else:
            torch.cuda.set_rng_state(state, device)
