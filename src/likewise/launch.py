"""What ``torchrun`` says about this process, read from the environment: which of how many it is. Without it there is one."""

from __future__ import annotations

import os

__all__ = ["launched_here", "launched_rank", "launched_ranks"]


def _number(name: str, alone: int) -> int:
    return int(os.environ[name]) if "TORCHELASTIC_RUN_ID" in os.environ and name in os.environ else alone


def launched_ranks() -> int:
    """Processes of this launch, on all machines."""
    return _number("WORLD_SIZE", 1)


def launched_rank() -> int:
    """Which of them this one is, from 0."""
    return _number("RANK", 0)


def launched_here() -> int:
    """How many of them run on this machine and share its memory and cores."""
    return _number("LOCAL_WORLD_SIZE", 1)
