"""Findings of one version of an index, kept in its folder: ``explorer.safetensors``.

Finding them takes from a second to some minutes, so the next start reads them. The file is replaced in one step and says of
which version of the table it is; a file of another version, or a damaged one, counts as none.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from likewise.serve.findings import Findings, Judged
from likewise.training.files import replacing

__all__ = ["FILE", "Kept", "read_kept", "write_kept"]

FILE = "explorer.safetensors"
_FORMAT = "1"

Kept = tuple[Findings, NDArray[np.float32] | None]
"""Findings, and the t-SNE map where it has been drawn."""

logger = logging.getLogger("likewise")


def write_kept(folder: Path, version: int, findings: Findings, flat: NDArray[np.float32] | None) -> None:
    """Keep findings in a folder.

    Raises:
        OSError: it cannot be written.
    """
    values: dict[str, Any] = vars(findings) | {"flat": flat}
    judged = values.pop("judged")
    values |= {} if judged is None else {f"judged.{name}": value for name, value in vars(judged).items()}
    arrays = {name: np.ascontiguousarray(value) for name, value in values.items() if isinstance(value, np.ndarray)}
    numbers = {name: value for name, value in values.items() if isinstance(value, float)}
    metadata = {"format": _FORMAT, "version": str(version), "numbers": json.dumps(numbers)}
    with replacing(folder / FILE) as beside:
        save_file(arrays, beside, metadata)


def read_kept(folder: Path, version: int, rows: int) -> Kept | None:
    """What was found in this version of the table, or None."""
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            if (metadata.get("format"), metadata.get("version")) != (_FORMAT, str(version)):
                return None
            values = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is not a mapping)
            values |= json.loads(metadata["numbers"])
        flat = values.pop("flat", None)
        of_labels = {
            name.removeprefix("judged."): values.pop(name) for name in list(values) if name.startswith("judged.")
        }
        findings = Findings(**values, judged=Judged(**of_labels) if of_labels else None)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        logger.warning("%s is damaged (%s): what it held is found again", path, error)
        return None
    return (findings, flat) if len(findings.neighbors) == rows else None
