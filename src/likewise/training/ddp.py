"""How DistributedDataParallel runs here."""

from __future__ import annotations

from lightning_fabric.strategies.ddp import DDPStrategy

__all__ = ["InPlaceDDP"]


class InPlaceDDP(DDPStrategy):
    """DistributedDataParallel that leaves the inputs of a step where they are.

    Given a GPU it would bring every tensor of a batch there and wait for it, each step; images and labels are there already,
    and indices belong on the CPU.
    """

    def _determine_ddp_device_ids(self) -> list[int] | None:
        return None
