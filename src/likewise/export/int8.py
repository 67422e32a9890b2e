"""The graphs with 8-bit weights and activations, and what that costs: measured on the test split, beside the float graphs.

The image graph is quantised statically: the range of every activation is taken from training images, weights have a scale
for each channel. (Quantising activations as they come, without such images, makes convolutions slower than float.) Text
graphs are matrix products, which do well with ranges taken as they come. Weights use 7 of the 8 bits, so that sums of
products cannot overflow on processors without VNNI: a file made here is right everywhere.
"""

from __future__ import annotations

import logging
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from likewise.data import ImageDataset
from likewise.data.captions import Captions
from likewise.evaluation import image_text_retrieval, nearest, paired_bootstrap, retrieval
from likewise.evaluation.retrieval import has_pairs

__all__ = [
    "CALIBRATION",
    "Both",
    "LossOfPrecision",
    "batches_of_images",
    "batches_of_texts",
    "embed_both",
    "loss_of_precision",
    "quantize_images",
    "quantize_texts",
]

CALIBRATION = 256  # training images whose activations give the ranges
_AT_ONCE = 64
_NEIGHBOURS = 10
_QUANTIZED = ("Conv", "Gemm", "MatMul", "Relu", "Clip", "MaxPool", "Add", "GlobalAveragePool", "AveragePool")

Vectors = NDArray[np.float32]


def quantize_images(path: Path, quantized: Path, pixels: Tensor) -> None:
    """Write ``quantized`` from the image graph at ``path``.

    Args:
        path: of the float graph.
        quantized: of the new file.
        pixels: (M, C, H, W) uint8 training images.
    """
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._parts = iter(pixels.split(32))

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            part = next(self._parts, None)
            return None if part is None else {"pixels": part.numpy()}

    with _prepared(path) as (prepared, own):
        quantize_static(
            str(prepared),
            str(quantized),
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(_QUANTIZED),
            nodes_to_exclude=own,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )


def quantize_texts(path: Path, quantized: Path) -> None:
    """Write ``quantized`` from the text graph at ``path``."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _prepared(path) as (prepared, own):
        quantize_dynamic(
            str(prepared),
            str(quantized),
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=own,
        )


@contextmanager
def _prepared(path: Path) -> Iterator[tuple[Path, list[str]]]:
    """The graph with its shapes known and normalisation folded into convolutions, and the nodes that scale to length 1."""
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    level = logging.getLogger().level
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger().setLevel(logging.ERROR)  # it advises, at the root, to do what has just been done
        try:
            prepared = Path(folder) / "prepared.onnx"
            quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
            graph = onnx.load(prepared)
            # The quantiser turns weights over and then meets their old shapes.
            del graph.graph.value_info[:]
            onnx.save(graph, prepared)
            nodes = graph.graph.node
            last = max((i for i, node in enumerate(nodes) if node.op_type in ("Conv", "Gemm", "MatMul")), default=-1)
            yield prepared, [node.name for node in nodes[last + 1 :] if node.op_type != "Add"]
        finally:
            logging.getLogger().setLevel(level)


@dataclass
class Both:
    """Embeddings of the same things by both graphs, and the seconds of each batch."""

    float32: Vectors
    int8: Vectors
    seconds: dict[str, list[float]]
    sizes: list[int]

    def rates(self) -> dict[str, float]:
        """Things a second: the median over batches."""
        return {name: float(np.median(np.array(self.sizes) / np.array(times))) for name, times in self.seconds.items()}


def embed_both(first: Callable[[Any], Vectors], second: Callable[[Any], Vectors], batches: Iterator[Any]) -> Both:
    """Run the float and the int8 graph in turn over the same batches, so that what slows the machine slows both."""
    found: dict[str, list[Vectors]] = {"float": [], "int8": []}
    seconds: dict[str, list[float]] = {"float": [], "int8": []}
    sizes = []
    for number, batch in enumerate(batches):
        if number == 0:  # the first call of a graph sets it up
            first(batch), second(batch)
        for name, embed in (("float", first), ("int8", second)):
            began = time.perf_counter()
            found[name].append(embed(batch))
            seconds[name].append(time.perf_counter() - began)
        sizes.append(len(batch))
    return Both(np.concatenate(found["float"]), np.concatenate(found["int8"]), seconds, sizes)


@dataclass(frozen=True)
class LossOfPrecision:
    """One number of both graphs.

    Args:
        name: as in ``metrics.json``.
        float32: of the float graph.
        int8: of the int8 graph.
        interval: 95 %, of the difference int8 - float over the same queries.
    """

    name: str
    float32: float
    int8: float
    interval: tuple[float, float]


def loss_of_precision(
    images: Both, labels: NDArray[np.int64] | None, texts: Both | None, captions: Captions | None, *, distance: str
) -> tuple[list[LossOfPrecision], dict[str, float]]:
    """What retrieval on the test split loses, and how much the neighbours agree.

    Args:
        images: of the test split.
        labels: (N,), or None. Without two images of a class there is no retrieval, and of a single image no neighbour: what
            cannot be measured is absent.
        texts: of the test captions' different texts, or None.
        captions: which text belongs to which image, or None.
        distance: ``cosine`` or ``euclidean``.
    """
    lost = []
    if labels is not None and has_pairs(labels):
        results = [retrieval(part, labels, ks=(1,), distance=distance) for part in (images.float32, images.int8)]
        asked = results[0].first_hit_rank > 0
        hits = [result.first_hit_rank[asked] == 1 for result in results]
        precisions = [result.average_precision_at_r[asked] for result in results]
        lost += [_lost("recall_at_1", *hits), _lost("map_at_r", *precisions)]
    if texts is not None and captions is not None:
        rows, owner = captions.text.numpy(), captions.image.numpy()
        found = [
            image_text_retrieval(part, words[rows], owner, (1,)).text_to_image.ranks <= 1
            for part, words in ((images.float32, texts.float32), (images.int8, texts.int8))
        ]
        lost.append(_lost("text_to_image_recall_at_1", *found))
    k = min(_NEIGHBOURS, len(images.float32) - 1)
    if k < 1:
        return lost, {}
    near = [nearest(part, part, k, distance=distance, exclude_self=True)[1] for part in (images.float32, images.int8)]
    same = (near[0][:, :, None] == near[1][:, None, :]).any(axis=2)
    return lost, {
        "same_nearest_neighbour": float((near[0][:, 0] == near[1][:, 0]).mean()),
        f"shared_of_{k}_nearest": float(same.mean()),
    }


def _lost(name: str, first: NDArray[Any], second: NDArray[Any]) -> LossOfPrecision:
    gap = paired_bootstrap(second, first)
    return LossOfPrecision(name, float(first.mean()), float(second.mean()), (gap.low, gap.high))


def batches_of_images(data: ImageDataset, as_pixels: Callable[[Tensor], Tensor]) -> Iterator[Tensor]:
    """All images of a split, some at a time, as the graph takes them."""
    for _, images in data.batches(torch.arange(len(data)).split(_AT_ONCE)):
        yield as_pixels(images)


def batches_of_texts(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """All texts, some at a time."""
    for start in range(0, len(texts), _AT_ONCE):
        yield texts[start : start + _AT_ONCE]
