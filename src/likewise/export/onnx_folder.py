"""``--format onnx``: a run's towers as ONNX files, checked against torch on its own test images before the folder appears."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from likewise.data import ImageDataset, Splits
from likewise.data.captions import Captions
from likewise.export.int8 import (
    CALIBRATION,
    Both,
    batches_of_images,
    batches_of_texts,
    embed_both,
    loss_of_precision,
    quantize_images,
    quantize_texts,
)
from likewise.export.model_card import model_card
from likewise.export.new_folder import Exported, new_folder
from likewise.export.onnx_graphs import OPSET, ImageGraph, TextGraph, require_onnx, write_graph
from likewise.export.onnx_run import OnnxImages, OnnxTexts, Parity, check_parity
from likewise.export.tokenizer_file import write_tokenizer
from likewise.models import EmbeddingModel
from likewise.models.identity import model_id
from likewise.training import Run

__all__ = ["export_onnx"]

logger = logging.getLogger("likewise")
_COMPARED = 256  # test images, and texts, that the check looks at


def export_onnx(run: Run, folder: str | os.PathLike[str], *, int8: bool = False) -> Exported:
    """Write ``image.onnx``, ``text.onnx`` with ``tokenizer.json`` where the model knows texts, ``config.json`` and a card.

    ``image.onnx``: ``pixels`` uint8 (N, C, H, W) of the model's size to ``embedding`` float32 (N, D), as ``model.embed``
    gives it. ``text.onnx``: ``input_ids`` and ``attention_mask`` int64 (N, L) to ``embedding``, as ``model.embed_text``.
    N and L are free.

    Args:
        run: whose images can be had: the graphs are compared with torch on its test split.
        folder: a new folder.
        int8: write the graphs a second time with 8-bit numbers, and measure on the test split what that costs.

    Raises:
        ModelError: a package is missing, the network cannot be traced, or a graph does not give what torch gives.
        DatasetError: the images of the run cannot be had.
        RunError: the folder is there already or cannot be written.
    """
    require_onnx()
    model, data = run.model, run.data()
    described = _described(model, run)
    metadata = {key: value if isinstance(value, str) else json.dumps(value) for key, value in described.items()}
    with new_folder(folder) as beside:
        write_graph(ImageGraph(model), beside / "image.onnx", inputs=("pixels",), metadata=metadata)
        images = OnnxImages(beside / "image.onnx")
        parity = [check_parity(model, images, _some(model, data.test, _COMPARED))]
        texts = None
        if model.text is not None:
            tokenizer = write_tokenizer(model.text.encoder)
            (beside / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
            write_graph(
                TextGraph(model), beside / "text.onnx", inputs=("input_ids", "attention_mask"), metadata=metadata
            )
            texts = OnnxTexts(beside / "text.onnx", tokenizer)
            parity.append(check_parity(model, texts, _sentences(data.test, run)))
        details = described | {"parity": [vars(one) for one in parity]}
        lines = [str(one) for one in parity]
        if int8:
            measured, said = _quantize(model, data, beside, images, texts)
            (beside / "quantization.json").write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
            details, lines = details | {"quantization": measured}, [*lines, *said]
        (beside / "config.json").write_text(_config(described, parity), encoding="utf-8")
        name = Path(folder).name
        (beside / "README.md").write_text(model_card(run, name, use=_use(model)), encoding="utf-8")
    return Exported(Path(folder), tuple(lines), details)


def _described(model: EmbeddingModel, run: Run) -> dict[str, Any]:
    found: dict[str, Any] = {
        "likewise_model": model_id(model),
        "recipe": run.recipe.name,
        "opset": OPSET,
        "input": model.input.model_dump(mode="json"),
        "embedding_dim": model.embedding_dim,
        "distance": "euclidean" if model.normalize == "never" else "cosine",
        "unit_length": model.normalize != "never",
        "class_names": list(model.class_names),
    }
    if model.text is not None:
        found["max_tokens"] = getattr(model.text.options, "max_tokens")  # noqa: B009
    return found


def _config(described: dict[str, Any], parity: list[Parity]) -> str:
    return json.dumps(described | {"parity": [vars(one) for one in parity]}, indent=2, ensure_ascii=False) + "\n"


def _pixels(model: EmbeddingModel, images: Tensor) -> Tensor:
    """Images as the graph takes them: of the model's size and channels, uint8."""
    fitted = model.input.fitted(images.cpu())
    return fitted.contiguous() if fitted.dtype == torch.uint8 else fitted.round().clamp(0, 255).to(torch.uint8)


def _some(model: EmbeddingModel, data: ImageDataset, most: int) -> Tensor:
    """Images from all over a split."""
    rows = torch.linspace(0, len(data) - 1, min(most, len(data))).round().long().unique()
    return _pixels(model, data.take(rows))


def _sentences(test: ImageDataset, run: Run) -> list[str]:
    """Captions of the test split, else class names and the recipe's queries; with one that is too long for the encoder."""
    if test.captions is not None:
        texts = list(Captions(test).texts)
    else:
        texts = [f"a photo of a {name}." for name in test.class_names] + list(run.recipe.evaluation.queries)
    chosen = list(texts[:: max(1, len(texts) // (_COMPARED - 2))])[: _COMPARED - 2] or ["a picture"]
    return [*chosen, chosen[0].split()[0], " ".join(chosen)[:4000]]


def _quantize(
    model: EmbeddingModel, data: Splits, beside: Path, images: OnnxImages, texts: OnnxTexts | None
) -> tuple[dict[str, Any], list[str]]:
    logger.info("quantising and measuring on %s test images", f"{len(data.test):,}")
    quantize_images(beside / "image.onnx", beside / "image.int8.onnx", _some(model, data.train, CALIBRATION))
    of_images = embed_both(
        images.embed,
        OnnxImages(beside / "image.int8.onnx").embed,
        batches_of_images(data.test, lambda batch: _pixels(model, batch)),
    )
    measured = {"image": _cost(beside, "image", of_images)}
    of_texts, captions = None, None
    if texts is not None:
        quantize_texts(beside / "text.onnx", beside / "text.int8.onnx")
        captions = None if data.test.captions is None else Captions(data.test)
        sentences = captions.texts if captions is not None else list(data.test.class_names) or ["a picture"]
        tokenizer = (beside / "tokenizer.json").read_text(encoding="utf-8")
        of_texts = embed_both(
            texts.embed, OnnxTexts(beside / "text.int8.onnx", tokenizer).embed, batches_of_texts(sentences)
        )
        measured["text"] = _cost(beside, "text", of_texts)
    labels = None if data.test.labels is None else data.test.labels.cpu().numpy()
    distance = "euclidean" if model.normalize == "never" else "cosine"
    lost, agreement = loss_of_precision(of_images, labels, of_texts, captions, distance=distance)
    found = measured | {
        "test_images": len(data.test),
        "calibration_images": min(CALIBRATION, len(data.train)),
        "distance": distance,
        "retrieval": {
            one.name: {"float": one.float32, "int8": one.int8, "difference_interval_95": list(one.interval)}
            for one in lost
        },
        "neighbours": agreement,
    }
    lines = [
        f"int8 {one.name}: {100 * one.int8:.2f} % against {100 * one.float32:.2f} % of float (difference "
        f"{100 * one.interval[0]:+.2f} to {100 * one.interval[1]:+.2f}, 95 %)"
        for one in lost
    ]
    if agreement:
        kept = 100 * agreement["same_nearest_neighbour"]
        lines.append(f"int8 neighbours: {kept:.1f} % of images keep their nearest one")
    for name, cost in measured.items():
        lines.append(
            f"int8 {name}.onnx: {cost['int8']['bytes'] / 1e6:,.2f} MB and {cost['int8']['per_second']:,.0f} {name}s/s against "
            f"{cost['float']['bytes'] / 1e6:,.2f} MB and {cost['float']['per_second']:,.0f} {name}s/s"
        )
    return found, lines


def _cost(beside: Path, name: str, both: Both) -> dict[str, dict[str, float]]:
    rates = both.rates()
    return {
        kind: {
            "bytes": sum(part.stat().st_size for part in beside.glob(f"{file}*")),
            "per_second": round(rates[kind], 1),
        }
        for kind, file in (("float", f"{name}.onnx"), ("int8", f"{name}.int8.onnx"))
    }


def _use(model: EmbeddingModel) -> str:
    spec = model.input
    lines = [
        "import numpy as np",
        "import onnxruntime",
        "",
        'images = onnxruntime.InferenceSession("image.onnx")',
        f"pixels = np.zeros((1, {spec.channels}, {spec.height}, {spec.width}), np.uint8)  # yours, at this size",
        f'embedding = images.run(None, {{"pixels": pixels}})[0]  # (1, {model.embedding_dim}) float32',
    ]
    if model.text is not None:
        lines += [
            "",
            "from tokenizers import Tokenizer",
            "",
            'texts = onnxruntime.InferenceSession("text.onnx")',
            'rows = Tokenizer.from_file("tokenizer.json").encode_batch(["a red shoe", "a boot"])',
            'ids, mask = (np.array([getattr(row, name) for row in rows]) for name in ("ids", "attention_mask"))',
            'sentence = texts.run(None, {"input_ids": ids, "attention_mask": mask})[0]',
        ]
    return "```python\n" + "\n".join(lines) + "\n```"
