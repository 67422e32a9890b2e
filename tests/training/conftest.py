"""What several tests of training start from."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def cifar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the layout of CIFAR-10's python archive, with ten classes of noise of different brightness."""
    folder = tmp_path_factory.mktemp("data") / "cifar-10-batches-py"
    folder.mkdir()
    draws = np.random.default_rng(0)
    for name, count in (*((f"data_batch_{i}", 60) for i in range(1, 6)), ("test_batch", 50)):
        labels = np.arange(count) % 10
        pixels = draws.integers(0, 60, (count, 3072)) + 18 * labels[:, None]
        (folder / name).write_bytes(pickle.dumps({b"data": pixels.astype(np.uint8), b"labels": labels.tolist()}))
    names = [f"class {i}".encode() for i in range(10)]
    (folder / "batches.meta").write_bytes(pickle.dumps({b"label_names": names}))
    return folder
