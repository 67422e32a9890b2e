"""A trained model measured on its data: embeddings, records and numbers, written into the run folder."""

from __future__ import annotations

import functools
import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor

from likewise.data import ImageDataset, Splits, cache_home
from likewise.evaluation import (
    EmbeddedSplit,
    baselines,
    downstream,
    evaluate,
    evaluate_unlabeled,
    evaluate_unseen,
    unseen_baselines,
)
from likewise.models import EmbeddingModel
from likewise.recipe import EvaluationOptions
from likewise.training.files import read_json, replacing, write_json
from likewise.training.measure_texts import TextMeasurement, measure_texts
from likewise.training.ranks import Ranks
from likewise.training.run import SPLITS, write_embeddings

__all__ = ["cached_baselines", "embed_split", "embed_split_on", "measure"]

logger = logging.getLogger("likewise")
BATCH = 1024
OTHER_CLASSES = "The classes are not those that the model was trained on: its own class scores are left out."
Scores = NDArray[np.float32] | None


def embed_split(model: EmbeddingModel, data: ImageDataset, *, mirrored: bool = False) -> tuple[EmbeddedSplit, Scores]:
    """Embeddings of a split in its order, and class scores (N, K) where the model has any.

    With ``mirrored`` each is the mean over the image and its mirror image.
    """
    embeddings, scores = _embed(model, data, _blocks(data), mirrored)
    return _labelled(data, embeddings), scores


def embed_split_on(
    ranks: Ranks, model: EmbeddingModel, data: ImageDataset, *, mirrored: bool = False
) -> tuple[EmbeddedSplit, Scores] | None:
    """``embed_split`` by all ranks, a part each: rank 0 gets the whole, the others None.

    Batches are cut alike on any number of ranks, so the numbers are too.
    """
    shares = ranks.share(_blocks(data))
    sizes = [sum(map(len, share)) for share in shares]
    own, own_scores = _embed(model, data, shares[ranks.rank], mirrored)
    embeddings = ranks.join(torch.from_numpy(own), sizes)
    scores = None
    if model.classifier is not None:
        # a rank without images has no scores, and nothing to send
        scores = ranks.join(torch.from_numpy(own[:0] if own_scores is None else own_scores), sizes)
    if embeddings is None:
        return None
    return _labelled(data, embeddings.numpy()), None if scores is None else scores.numpy()


def _blocks(data: ImageDataset) -> tuple[Tensor, ...]:
    blocks: tuple[Tensor, ...] = torch.arange(len(data)).split(BATCH)
    return blocks


def _embed(
    model: EmbeddingModel, data: ImageDataset, blocks: Sequence[Tensor], mirrored: bool
) -> tuple[NDArray[np.float32], Scores]:
    fitted = (images if images.ndim < 4 else model.input.fitted(images) for _, images in data.batches(blocks))
    return model.embed_batches(fitted, mirrored=mirrored)


def _labelled(data: ImageDataset, embeddings: NDArray[np.float32]) -> EmbeddedSplit:
    labels = np.full(len(data), -1) if data.labels is None else data.labels.cpu().numpy()
    return EmbeddedSplit(embeddings, labels, data.ids)


def unseen(train_labels: Tensor | NDArray[np.int64], test_labels: Tensor | NDArray[np.int64]) -> bool:
    """Whether no class of the test split is among those of train."""
    seen, tested = (set(torch.as_tensor(labels).unique().tolist()) for labels in (train_labels, test_labels))
    return not seen & tested


def cached_baselines(splits: Splits, dimension: int) -> dict[str, float]:
    """What no training reaches, computed once for the same images: 1-NN accuracy of raw pixels and of PCA to ``dimension``,
    or for unseen classes retrieval by raw pixels.
    """
    train, test = splits.train, splits.test
    if train.labels is None or test.labels is None:
        return {}
    if not isinstance(train.images, Tensor) or not isinstance(test.images, Tensor):
        return {}
    key = hashlib.sha256(f"1 {train.fingerprint} {test.fingerprint} {dimension}".encode()).hexdigest()[:32]
    path = cache_home() / "baselines" / f"{key}.json"
    if path.is_file():
        known: dict[str, float] = read_json(path)
        return known
    if unseen(train.labels, test.labels):
        found = unseen_baselines(test.images, test.labels)
    else:
        found = baselines(train.images, train.labels, test.images, test.labels, dimension=dimension)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, found)
    except OSError as error:
        logger.warning("the baselines could not be cached in %s (%s)", path, error)
    return found


def measure(
    model: EmbeddingModel,
    splits: Splits,
    folder: Path,
    *,
    protocols: Sequence[str] = (),
    seed: int = 0,
    options: EvaluationOptions | None = None,
    reached: Mapping[str, float] | None = None,
    ranks: Ranks | None = None,
) -> dict[str, float]:
    """Embed all splits, evaluate, and write ``embeddings/``, ``records/test.parquet`` and ``evaluation.json``.

    Args:
        model: on the device that is to embed.
        splits: train is the gallery and trains the probe, validation chooses its strength, test is reported. Without
            labels in all three only geometry and neighbours are measured, for classes that train has not seen only retrieval.
        folder: the run folder.
        protocols: what else is measured where there are labels; see ``likewise.evaluation.downstream``.
        seed: of what these draw.
        options: mirror images, and sentences for a model that knows texts; default as in a recipe.
        reached: what ``text_baselines`` found before training, for ``evaluation.json``.
        ranks: processes that embed together; rank 0 then measures and writes, and the others get no numbers.

    Returns:
        Numbers by the names of ``metrics.json``.
    """
    embedded: dict[str, EmbeddedSplit] = {}
    scores: dict[str, Scores] = {}
    for name in SPLITS:
        data: ImageDataset = getattr(splits, name)
        mirrored = options is not None and options.mirrored
        found = (
            embed_split(model, data, mirrored=mirrored)
            if ranks is None
            else embed_split_on(ranks, model, data, mirrored=mirrored)
        )
        if found is not None:
            embedded[name], scores[name] = found
            write_embeddings(folder, name, embedded[name])
    work = functools.partial(
        _evaluate,
        model,
        splits,
        folder,
        embedded,
        scores,
        protocols=protocols,
        seed=seed,
        options=options,
        reached=reached or {},
    )
    return work() if ranks is None else ranks.on_first(work) or {}


def _evaluate(
    model: EmbeddingModel,
    splits: Splits,
    folder: Path,
    embedded: dict[str, EmbeddedSplit],
    scores: dict[str, Scores],
    *,
    protocols: Sequence[str],
    seed: int,
    options: EvaluationOptions | None,
    reached: Mapping[str, float],
) -> dict[str, float]:
    logger.info("embedded %s images", f"{sum(len(part.labels) for part in embedded.values()):,}")
    numbers: dict[str, float] = {}
    details: dict[str, Any] = {}
    notes: list[str] = []
    if not all(part.labeled for part in embedded.values()):
        result = evaluate_unlabeled(embedded["train"], embedded["test"])
        notes += [f"The protocol {name} was not measured: there are no labels." for name in protocols]
    elif unseen(embedded["train"].labels, embedded["test"].labels):
        result = evaluate_unseen(embedded["test"])
        notes += [
            f"The protocol {name} was not measured: training has not seen the test classes." for name in protocols
        ]
    else:
        own = not model.class_names or model.class_names == tuple(splits.train.class_names)
        if not own:
            notes.append(OTHER_CLASSES)
        result = evaluate(
            embedded["train"],
            embedded["validation"],
            embedded["test"],
            num_classes=splits.train.num_classes,
            class_scores=scores["test"] if own else None,
            validation_class_scores=scores["validation"] if own else None,
        )
        numbers, details, missing = downstream(protocols, **embedded, num_classes=splits.train.num_classes, seed=seed)
        notes += missing
    for note in notes:
        logger.warning("%s", note)
    texts = TextMeasurement()
    if model.text is not None:
        texts = measure_texts(model, splits, embedded, folder, options or EvaluationOptions())
    table = result.records
    for name, column in texts.columns.items():
        table = table.append_column(name, column)
    records = folder / "records" / "test.parquet"
    records.parent.mkdir(exist_ok=True)
    with replacing(records) as beside:
        pq.write_table(table, beside)
    write_json(
        folder / "evaluation.json",
        _context(splits, notes)
        | {
            "intervals": {
                name: [float(low), float(high)] for name, (low, high) in (result.intervals | texts.intervals).items()
            },
            "recall_curve": {str(k): float(value) for k, value in result.recall_curve.items()},
            "baselines": cached_baselines(splits, model.embedding_dim) | texts.baselines | dict(reached),
            **({"downstream": details} if details else {}),
        }
        | texts.context,
    )
    return {name: float(value) for name, value in (result.metrics | numbers | texts.metrics).items()}


def _context(splits: Splits, notes: Sequence[str] = ()) -> dict[str, Any]:
    return {
        "source": splits.train.name,
        "origin": splits.train.origin,
        "image_shape": list(splits.train.image_shape),
        "class_names": list(splits.test.class_names or splits.train.class_names),
        "sizes": {name: len(getattr(splits, name)) for name in SPLITS}
        | ({} if splits.unlabeled is None else {"unlabeled": len(splits.unlabeled)}),
        "fingerprints": {name: getattr(splits, name).fingerprint for name in SPLITS},
        "notes": [*splits.notes, *notes],
        "bad_images": [
            {"split": name, "position": bad.position, "item": bad.item, "reason": bad.reason}
            for name in SPLITS
            for bad in getattr(splits, name).bad_images
        ],
    }
