"""Pictures of a task without labels: what was asked of some test images and what the network answered.

They are written once, after training, because the heads that answer belong to the objective and are not part of the model
that is kept.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from likewise.data import ImageDataset
from likewise.errors import RunError
from likewise.objectives import Objective
from likewise.training.files import replacing

__all__ = ["read_examples", "write_examples"]

SHOWN = 10
COLUMNS = ("input", "target", "prediction")
FILE = "examples.safetensors"


def write_examples(folder: Path, objective: Objective, test: ImageDataset, *, seed: int) -> None:
    """Write ``examples.safetensors``, (E, C, H, W) uint8 under each column's name, where the objective has a task.

    Args:
        folder: the run folder.
        objective: after training.
        test: ten of its images are taken, at even distances.
        seed: of what is random in the task.
    """
    chosen = torch.linspace(0, len(test) - 1, min(SHOWN, len(test))).round().long()
    images = test.take(chosen).to(objective.model.mean.device)
    training = objective.training
    objective.eval()
    with torch.inference_mode(), torch.compiler.set_stance("force_eager"):
        pictures = objective.examples(images, torch.Generator().manual_seed(seed))
    objective.train(training)
    if pictures:
        columns = {name: np.ascontiguousarray(picture.cpu().numpy()) for name, picture in pictures.items()}
        with replacing(folder / FILE) as beside:
            save_file(columns, beside)


def read_examples(folder: Path) -> dict[str, NDArray[np.uint8]]:
    """What ``write_examples`` wrote, in the order input, target, prediction; empty where there is nothing.

    Raises:
        RunError: the file is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return {}
    try:
        found = load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise RunError(
            f"The examples in {path} cannot be read ({error}).",
            expected="Expected the pictures that training wrote.",
            advice=f"Remove {path}: the report is written without them.",
        ) from error
    return {name: found[name] for name in COLUMNS if name in found}
