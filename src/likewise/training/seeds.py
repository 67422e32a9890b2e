"""Chance as a function of where a run is: the same draws whenever it is resumed, and no state to keep for them."""

from __future__ import annotations

import torch

__all__ = ["generator_for"]


def generator_for(*key: int) -> torch.Generator:
    """A generator whose seed is a fixed mixture of the numbers in ``key`` (seed, epoch, purpose, step …)."""
    state = 0x9E3779B97F4A7C15
    for number in key:
        state = ((state ^ number) * 0xBF58476D1CE4E5B9) % 2**64
        state ^= state >> 31
    return torch.Generator().manual_seed(state % 2**63)
