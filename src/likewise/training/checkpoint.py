"""Checkpoints: everything that the next step depends on, as safetensors and JSON, written whole or not at all.

A checkpoint is a folder ``checkpoints/step-00001234`` that is written under another name, synced and renamed, and renamed
again before it is removed, so that a folder with that name is complete whenever the process or the machine died. The newest
two are kept: should the disk fill while one is written, the one before it is still there.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer

from likewise.errors import RunError, TrainingError

if TYPE_CHECKING:
    from lightning_fabric.plugins import Precision

__all__ = ["Progress", "latest_checkpoint", "load_checkpoint", "save_checkpoint"]

KEPT = 2


@dataclass
class Progress:
    """Where a run is: the position in the epoch, what was summed up so far, and the lines of ``metrics.jsonl``.

    ``train_seconds`` counts training steps only: not validation, checkpoints or evaluation.
    """

    epoch: int = 0
    step: int = 0
    step_in_epoch: int = 0
    loss_sum: float = 0.0
    images: int = 0
    train_seconds: float = 0.0
    total_seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)


def save_checkpoint(
    folder: Path,
    objective: nn.Module,
    optimizer: Optimizer,
    progress: Progress,
    *,
    fingerprint: str,
    precision: Precision | None = None,
) -> Path:
    """Write a checkpoint into ``folder`` and forget all but the newest two.

    Args:
        folder: ``checkpoints/`` of the run, where no other process writes.
        objective: the module that is trained, the model inside it.
        optimizer: its optimiser.
        progress: the position.
        fingerprint: of the training data; a run is not resumed on other data.
        precision: what scales the loss, where the precision needs it.

    Raises:
        TrainingError: the checkpoint cannot be written; the one before it is untouched.
    """
    path = folder / f"step-{progress.step:08d}"
    beside = folder / f".step-{progress.step:08d}.{os.getpid()}.part"
    tensors = {f"module.{name}": tensor for name, tensor in objective.state_dict().items()}
    scalars: dict[str, Any] = {}
    for index, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{name}"] = value
            elif value is not None:
                scalars[f"{index}.{name}"] = value
    tensors["random.torch"] = torch.get_rng_state()
    if torch.cuda.is_initialized():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    if torch.backends.mps.is_available():
        tensors["random.mps"] = torch.mps.get_rng_state()
    algorithm, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002
    state_json = {
        "progress": vars(progress),
        "optimizer": scalars,
        "fingerprint": fingerprint,
        "precision": precision.state_dict() if precision else {},
        "random": {
            "python": random.getstate(),
            "numpy": [algorithm, np.asarray(keys).tolist(), position, has_gauss, gauss],
        },
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for dead in folder.glob(".step-*.part"):  # of processes that were killed: this one alone writes here
            shutil.rmtree(dead, ignore_errors=True)
        beside.mkdir()
        save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, beside / "state.safetensors")
        (beside / "state.json").write_text(json.dumps(state_json), encoding="utf-8")
        for file in beside.iterdir():
            with file.open("rb") as written:
                os.fsync(written.fileno())
        replaced = _set_aside(path) if path.exists() else None
        beside.rename(path)
        _sync(folder)
        if replaced:
            shutil.rmtree(replaced, ignore_errors=True)
        for old in sorted(folder.glob("step-*"))[:-KEPT]:
            shutil.rmtree(_set_aside(old), ignore_errors=True)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(beside, ignore_errors=True)
        last = latest_checkpoint(folder)
        raise TrainingError(
            f"The checkpoint of step {progress.step} could not be written to {folder} ({error}).",
            expected=f"The last good one is {last.name}." if last else "There is none before it.",
            advice="Free some space or make the folder writable, then run the same command with --resume.",
        ) from error
    return path


def _set_aside(path: Path) -> Path:
    """Rename a checkpoint to what no one takes for one, before it is removed file by file."""
    return path.rename(path.with_name(f".{path.name}.{os.getpid()}.old.part"))


def _sync(folder: Path) -> None:
    """Bring the names in ``folder`` to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint in ``folder``, or ``None``."""
    return max(folder.glob("step-*"), default=None)


def load_checkpoint(
    path: Path, objective: nn.Module, optimizer: Optimizer, *, fingerprint: str, precision: Precision | None = None
) -> Progress:
    """Put back all that ``save_checkpoint`` wrote, the random states included.

    Raises:
        RunError: the checkpoint is damaged, or belongs to other data or another model.
    """
    try:
        tensors = load_file(path / "state.safetensors")
        state = json.loads((path / "state.json").read_text(encoding="utf-8"))
        if state["fingerprint"] != fingerprint:
            raise RunError(
                f"The run in {path.parent.parent} was trained on other images (fingerprint {state['fingerprint'][:12]}, "
                f"now {fingerprint[:12]}).",
                expected="A run is resumed on the data it began with.",
                advice="Restore the data, or train anew with another --out.",
            )
        objective.load_state_dict(
            {name.removeprefix("module."): t for name, t in tensors.items() if name.startswith("module.")}
        )
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        moments: dict[int, dict[str, Any]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimizer."):
                _, index, key = name.split(".", 2)
                parameter = parameters[int(index)]
                # Fused optimisers walk through memory, so a moment must lie there as its parameter does.
                laid_out = torch.empty_like(parameter).copy_(tensor) if tensor.shape == parameter.shape else tensor
                moments.setdefault(int(index), {})[key] = laid_out
        for name, value in state["optimizer"].items():
            index, _, key = name.partition(".")
            moments.setdefault(int(index), {})[key] = value
        optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
        if precision is not None and state.get("precision"):
            precision.load_state_dict(state["precision"])
        torch.set_rng_state(tensors["random.torch"])
        if "random.cuda" in tensors and torch.cuda.is_initialized():
            torch.cuda.set_rng_state(tensors["random.cuda"])
        if "random.mps" in tensors and torch.backends.mps.is_available():
            torch.mps.set_rng_state(tensors["random.mps"])
        version, internal, gauss = state["random"]["python"]
        random.setstate((version, tuple(internal), gauss))
        np.random.set_state(tuple(state["random"]["numpy"]))  # noqa: NPY002
        return Progress(**state["progress"])
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        raise RunError(
            f"The checkpoint {path} cannot be read ({type(error).__name__}: {error}).",
            expected="Expected the two files that the run wrote.",
            advice=f"Remove {path} to go on from the one before it, or train anew with another --out.",
        ) from error
