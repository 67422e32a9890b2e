"""Where a run ran: versions, processor, threads, precision. Numbers are compared only with this beside them."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import platform
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import psutil
import torch

from likewise.errors import TrainingError
from likewise.launch import launched_here, launched_ranks

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["computes_bf16", "describe_environment", "make_fabric", "peak_memory_mb"]

PACKAGES = ("likewise", "torch", "lightning-fabric", "numpy", "scikit-learn", "openTSNE", "pyarrow", "pillow")


def computes_bf16(accelerator: str = "auto") -> bool:
    """Whether what trains here multiplies bfloat16 matrices in hardware: a GPU of Ampere or later, or a CPU with AMX.

    Args:
        accelerator: as in Lightning Fabric; ``auto`` is the GPU where there is one.
    """
    if accelerator == "mps":
        return False
    if accelerator != "cpu" and torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    try:
        return " amx_bf16" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False


def make_fabric(*, accelerator: str, precision: str) -> Fabric:
    """Lightning Fabric on the device of this process, with ``precision="auto"`` resolved; launched.

    Started by ``torchrun``, all its processes join in DistributedDataParallel: NCCL between GPUs, gloo between CPUs.

    Raises:
        TrainingError: the processes do not fit the machine's devices.
    """
    # only who trains waits for it to be imported
    from lightning_fabric import Fabric

    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    if precision == "auto":
        precision = "bf16-mixed" if computes_bf16(accelerator) else "32-true"
    ranks = launched_ranks()
    if ranks == 1:
        if accelerator == "auto":  # Lightning would take Metal before the CPU, and no other verb here does
            accelerator = "cuda" if torch.cuda.is_available() else "cpu"
        return Fabric(accelerator=accelerator, devices=1, precision=cast(Any, precision))
    here = launched_here()
    gpus = torch.cuda.device_count()
    if accelerator == "auto":
        accelerator = "cuda" if gpus else "cpu"
    if ranks % here or accelerator not in ("cpu", "cuda", "gpu") or (accelerator != "cpu" and here > gpus):
        raise TrainingError(
            f"torchrun started {ranks} processes, {here} of them on this machine, for accelerator={accelerator}; it has "
            f"{gpus} GPUs.",
            expected="Expected as many processes on every machine, and on GPUs at most one for each.",
            advice=f"Start it with --nproc-per-node {gpus or here}, or on CPUs with --set accelerator=cpu.",
        )
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    from likewise.training.ddp import InPlaceDDP

    fabric = Fabric(
        accelerator=accelerator,
        devices=here,
        num_nodes=ranks // here,
        strategy=InPlaceDDP(
            # With gloo beside NCCL counts travel between CPUs, and no step waits for a GPU to read one.
            process_group_backend="gloo" if accelerator == "cpu" else "cpu:gloo,cuda:nccl",
            cluster_environment=TorchElasticEnvironment(),
            broadcast_buffers=False,
            gradient_as_bucket_view=True,
        ),
        precision=cast(Any, precision),
    )
    fabric.launch()
    return fabric


def peak_memory_mb() -> float:
    """Largest resident size of this process so far, in units of 10⁶ bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def describe_environment(fabric: Fabric) -> dict[str, Any]:
    """What ``environment.json`` says."""
    device = fabric.device
    return {
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "processes": fabric.world_size,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "precision": fabric._precision.precision,
    }
