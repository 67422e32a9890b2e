"""The towers of a model as ONNX graphs that need nothing beside them: pixels or tokens in, the embedding of ``embed`` out.

The graph of the images takes uint8 pixels of the model's own size. Turning to float, mean and deviation, what an encoder
resizes inside, the head and the scaling to length 1 are all in it. Bringing a picture to that size is not: pictures come in
every size and a batch has one, so that belongs to where they are decoded.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from likewise.errors import ModelError
from likewise.export.silence import silent
from likewise.models import EmbeddingModel

__all__ = ["OPSET", "ImageGraph", "TextGraph", "require_onnx", "write_graph"]

OPSET = 18  # the first whose Resize filters when it makes smaller, as our encoders do; onnxruntime reads it since 1.14
_OUTPUT = "embedding"
_NEEDED = ("onnx", "onnxscript", "onnxruntime", "tokenizers")


class ImageGraph(nn.Module):
    """Pixels (N, C, H, W) uint8 to embeddings (N, D) float32.

    Args:
        model: is copied, in evaluation mode.
    """

    def __init__(self, model: EmbeddingModel) -> None:
        super().__init__()
        self.model = _plain(model)
        self.scaled = model.normalize != "never"

    def forward(self, pixels: Tensor) -> Tensor:
        """As ``EmbeddingModel.embed``."""
        embeddings: Tensor = self.model(pixels)
        return F.normalize(embeddings) if self.scaled else embeddings

    def example(self) -> tuple[tuple[Tensor, ...], tuple[Any, ...]]:
        """Inputs to trace with, and which of their dimensions are free."""
        spec = self.model.input
        pixels = torch.randint(256, (2, spec.channels, spec.height, spec.width), dtype=torch.uint8)
        return (pixels,), ({0: torch.export.Dim("batch")},)


class TextGraph(nn.Module):
    """Token ids (N, L) int64 and their mask (N, L) int64, 1 for a token and 0 for padding at the right, to (N, D) float32.

    Args:
        model: with a text tower; is copied, in evaluation mode.
    """

    def __init__(self, model: EmbeddingModel) -> None:
        super().__init__()
        if model.text is None:
            raise ModelError("This model has no text tower.", expected="Expected one that was trained with captions.")
        self.tower = _plain(model.text)
        self.scaled = model.normalize != "never"

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """As ``EmbeddingModel.embed_text`` behind its tokenizer."""
        embeddings: Tensor = self.tower.embedding(self.tower.encoder(input_ids, attention_mask.sum(dim=1)))
        return F.normalize(embeddings) if self.scaled else embeddings

    def example(self) -> tuple[tuple[Tensor, ...], tuple[Any, ...]]:
        """Inputs to trace with, and which of their dimensions are free."""
        longest: int = getattr(self.tower.options, "max_tokens")  # noqa: B009  every text encoder of ours has it
        length = min(longest, 6)
        ids = torch.ones(2, length, dtype=torch.int64)
        mask = torch.ones_like(ids)
        mask[1, -1] = 0
        free = {0: torch.export.Dim("batch")}
        if length > 1:
            free[1] = torch.export.Dim("tokens", max=longest)
        return (ids, mask), (free, free)


def _plain(module: nn.Module) -> Any:
    """A copy for tracing, its weights in the order of their dimensions."""
    copied: Any = copy.deepcopy(module).cpu().eval().requires_grad_(False)
    return copied.to(memory_format=torch.contiguous_format)


def require_onnx() -> None:
    """Raise a ModelError where a package that writes or runs ONNX is missing."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise ModelError(
            f"ONNX export needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed.",
            expected="Expected the extra that brings it.",
            advice='Install it with `pip install "likewise[onnx]"`.',
        )


def write_graph(
    graph: ImageGraph | TextGraph, path: Path, *, inputs: tuple[str, ...], metadata: Mapping[str, str]
) -> None:
    """Trace a graph and write it with its weights as one file (beside it ``.data`` for weights beyond 2 GB).

    Args:
        graph: in evaluation mode.
        path: of the file.
        inputs: names of the inputs; the output is called ``embedding``.
        metadata: for the file's ``metadata_props``.

    Raises:
        ModelError: the network holds something that ONNX or its exporter does not know.
    """
    example, free = graph.example()
    try:
        with _quietly(), torch.no_grad():
            traced = torch.export.export(graph, example, dynamic_shapes=free)
            if any(node.target in _DECOMPOSED for node in traced.graph.nodes):
                traced = traced.run_decompositions(_DECOMPOSED)
            program = torch.onnx.export(
                traced, dynamo=True, opset_version=OPSET, input_names=list(inputs), verbose=False
            )
    except (RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
        raise ModelError(
            f"{type(graph).__name__} could not be traced ({(str(error).strip().splitlines() or ['no message'])[0]}).",
            expected="Expected a network whose operations ONNX knows.",
            advice="Export with --format hf, or use one of Likewise's own encoders.",
        ) from error
    if program is None:
        raise ModelError("torch.onnx.export gave nothing.", expected="Expected a program.")
    _name_output(program.model.graph)
    program.model.metadata_props.update(metadata)
    program.save(path)


def _name_output(graph: Any) -> None:
    """Call the output ``embedding``, and nothing else so: looking up a word is called that too."""
    for number, value in enumerate(value for node in graph for value in node.outputs):
        if value.name == _OUTPUT:
            value.name = f"{_OUTPUT}_{number}"
    graph.outputs[0].name = _OUTPUT


@contextmanager
def _quietly() -> Iterator[None]:
    """Without what the exporter says of its own insides, and without torch's fused transformer layer, which ONNX lacks."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with silent("torch.onnx", "onnxscript", "onnx_ir"):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def _adaptive_max_pool2d(grid: Tensor, output_size: list[int]) -> tuple[Tensor, Tensor]:
    """The largest value of each cell, cells cut as torch cuts them; ONNX has no such pooling. No one asks for the positions."""
    height, width = grid.shape[2:]
    rows, columns = output_size

    def cut(size: int, parts: int) -> list[slice]:
        return [slice(part * size // parts, -(-(part + 1) * size // parts)) for part in range(parts)]

    cells = [
        torch.stack([grid[:, :, row, column].amax(dim=(2, 3)) for column in cut(width, columns)], dim=-1)
        for row in cut(height, rows)
    ]
    pooled = torch.stack(cells, dim=-2)
    return pooled, torch.zeros_like(pooled, dtype=torch.int64)


_DECOMPOSED = {torch.ops.aten.adaptive_max_pool2d.default: _adaptive_max_pool2d}
