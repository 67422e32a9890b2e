"""An exported graph in onnxruntime, and whether it gives what torch gives."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from likewise.errors import ModelError
from likewise.models import EmbeddingModel

__all__ = ["BOUND", "OnnxImages", "OnnxTexts", "Parity", "check_parity"]

logger = logging.getLogger("likewise")
BOUND = 1e-4  # largest difference that is let pass, for embeddings of length 1; in proportion to the length for others
_SIZES = (1, 7, 256)  # images or texts at a time: alone, odd, many

Vectors = NDArray[np.float32]


class _Session:
    """One graph, on as many threads as torch has."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)

    def run(self, **inputs: NDArray[Any]) -> Vectors:
        """The embeddings of one batch."""
        found: Vectors = self._session.run(["embedding"], inputs)[0]
        return found


class OnnxImages(_Session):
    """``image.onnx``."""

    def embed(self, pixels: Tensor, batch_size: int = 64) -> Vectors:
        """Embeddings of pixels (N, C, H, W) uint8."""
        return np.concatenate([self.run(pixels=part.cpu().numpy()) for part in pixels.split(batch_size)])


class OnnxTexts(_Session):
    """``text.onnx`` behind its ``tokenizer.json``.

    Args:
        path: of the graph.
        tokenizer: content of the tokenizer's file.
    """

    def __init__(self, path: Path, tokenizer: str) -> None:
        from tokenizers import Tokenizer

        super().__init__(path)
        self._tokenizer = Tokenizer.from_str(tokenizer)

    def embed(self, texts: Sequence[str], batch_size: int = 64) -> Vectors:
        """Embeddings of texts."""
        parts = []
        for start in range(0, len(texts), batch_size):
            rows = self._tokenizer.encode_batch(list(texts[start : start + batch_size]))
            ids = np.array([row.ids for row in rows], np.int64)
            mask = np.array([row.attention_mask for row in rows], np.int64)
            parts.append(self.run(input_ids=ids, attention_mask=mask))
        return np.concatenate(parts)


@dataclass(frozen=True)
class Parity:
    """How far a graph is from torch.

    Args:
        graph: ``image`` or ``text``.
        samples: that were compared.
        batch_sizes: that they were compared in.
        largest_difference: between two numbers of an embedding.
        bound: what was let pass.
    """

    graph: str
    samples: int
    batch_sizes: tuple[int, ...]
    largest_difference: float
    bound: float

    def __str__(self) -> str:
        sizes = ", ".join(map(str, self.batch_sizes))
        return (
            f"{self.graph}.onnx: differs from torch by {self.largest_difference:.1e} at most (bound {self.bound:.1e}) on "
            f"{self.samples:,} {self.graph}s of the test split, {sizes} at a time"
        )


def check_parity(model: EmbeddingModel, graph: OnnxImages | OnnxTexts, samples: Any) -> Parity:
    """Compare a graph with the model at several batch sizes.

    Args:
        model: what it was made of.
        graph: in onnxruntime.
        samples: pixels (N, C, H, W) uint8, or texts.

    Raises:
        ModelError: a difference is above the bound.
    """
    image = isinstance(graph, OnnxImages)
    expected = model.embed(samples) if image else model.embed_text(samples)
    bound = BOUND * float(np.linalg.norm(expected, axis=1).mean())
    sizes = tuple(size for size in _SIZES if size < len(expected)) + (
        (len(expected),) if len(expected) <= _SIZES[-1] else ()
    )
    largest = 0.0
    for size in sizes:
        found = graph.embed(samples[: 3 * size], size)
        largest = max(largest, float(np.abs(found - expected[: len(found)]).max()))
    parity = Parity("image" if image else "text", len(expected), sizes, largest, bound)
    if not largest <= bound:
        raise ModelError(
            f"{parity.graph}.onnx differs from torch by {largest:.2e} on {len(expected)} samples.",
            expected=f"Expected {bound:.1e} at most.",
            advice="Nothing was written. Update onnx, onnxscript and onnxruntime, or export with --format hf.",
        )
    return parity
