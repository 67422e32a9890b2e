"""What other processes do in these tests: work in small steps until they are killed or done."""

from __future__ import annotations

from pathlib import Path

import torch

from likewise import Index, load_dataset, verbs
from likewise.index import embed_file, writing


def embed_digits(model: Path, path: Path) -> None:
    torch.set_num_threads(1)
    embed_file.SECONDS_A_PART = 0.0
    verbs.embed(model, "digits", path, batch_size=8, quiet=True)


def add_digits(folder: Path, first: int, last: int) -> None:
    torch.set_num_threads(1)
    writing.COMMIT_ROWS = 16
    Index.open(folder).add(load_dataset("digits").subset(torch.arange(first, last)), existing="keep", batch_size=16)
