"""What image-text retrieval reaches from the encoders as they were taken over, before anything of the run is trained.

Ridge regression and canonical correlation analysis between the frozen features, chosen on validation and reported on test;
computed once for the same images, captions and encoders. A run that trains an encoder from scratch has none of it.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from likewise.data import ImageDataset, Splits, cache_home
from likewise.data.captions import Captions
from likewise.data.feature_store import FrozenTexts, weights_digest
from likewise.evaluation import LinearBaseline, Paired, cca_retrieval, ridge_retrieval
from likewise.models import EmbeddingModel
from likewise.training.files import read_json, write_json

__all__ = ["LINEAR", "edge_warnings", "linear_baselines", "text_baselines"]

logger = logging.getLogger("likewise")
LINEAR: dict[str, Callable[[Paired, Paired, Paired], LinearBaseline]] = {"ridge": ridge_retrieval, "cca": cca_retrieval}
_BATCH = 512
_AT_EDGE = "_at_edge"


def text_baselines(model: EmbeddingModel, splits: Splits) -> dict[str, float]:
    """Numbers by ``METHOD_METRIC`` (``ridge_text_to_image_recall_at_1``), with ``METHOD_strength`` … as they were chosen.

    ``METHOD_strength_at_edge`` is 1 where the choice was the end of what was tried; else it is absent.

    Args:
        model: before training.
        splits: with captions, as the loop sees them; without any, or where an encoder is trained from the start, nothing is
            computed.
    """
    parts: Sequence[ImageDataset] = (splits.train, splits.validation, splits.test)
    tower = model.text
    if tower is None or not (model.encoder_frozen and tower.encoder_frozen) or any(p.captions is None for p in parts):
        return {}
    encoders = [weights_digest(encoder) for encoder in (model.encoder, tower.encoder)]
    options = [model.encoder_options.model_dump_json(), model.input.model_dump_json(), tower.options.model_dump_json()]
    key = hashlib.sha256("|".join(["3", *encoders, *options, *(part.fingerprint for part in parts)]).encode())
    path = cache_home() / "baselines" / f"{key.hexdigest()[:32]}.json"
    if path.is_file():
        known: dict[str, float] = read_json(path)
        return known
    logger.info("ridge regression and CCA between the frozen features, for comparison")
    training = model.training
    model.eval()
    try:
        paired = [_paired(model, part) for part in parts]
    finally:
        model.train(training)
    found: dict[str, float] = {}
    for name, method in LINEAR.items():
        found |= {f"{name}_{key}": value for key, value in _numbers(method(*paired)).items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, found)
    except OSError as error:
        logger.warning("the baselines could not be cached in %s (%s)", path, error)
    return found


def linear_baselines(baselines: Mapping[str, float]) -> dict[str, float]:
    """What of a run's baselines ``text_baselines`` found."""
    return {name: value for name, value in baselines.items() if name.partition("_")[0] in LINEAR}


@torch.inference_mode()
def _paired(model: EmbeddingModel, data: ImageDataset) -> Paired:
    """Features of a split's images and of its captions."""
    tower, device = model.text, model.mean.device
    assert tower is not None

    def of_images(images: Tensor) -> Tensor:
        return model.features_of_frozen(images) if images.ndim == 2 else model.features(images)

    blocks = torch.arange(len(data)).split(_BATCH)
    images = torch.cat([of_images(part.to(device)).float().cpu() for _, part in data.batches(blocks)])
    captions = Captions(data)
    states = FrozenTexts.of_model(model).of(captions.texts)
    parts = []
    for rows in torch.arange(len(captions.texts)).split(_BATCH):
        hidden, lengths = states.take(rows)
        parts.append(tower.features_of_frozen(hidden.to(device), lengths.to(device)).float().cpu())
    return Paired(images, torch.cat(parts)[captions.text], captions.image, captions.text)


def _numbers(found: LinearBaseline) -> dict[str, float]:
    test = found.test
    recall = {
        f"{name}_recall_at_{k}": value
        for name, side in (("text_to_image", test.text_to_image), ("image_to_text", test.image_to_text))
        for k, value in side.recall.items()
    }
    return recall | found.chosen | {f"{name}{_AT_EDGE}": 1.0 for name in found.at_edge}


def edge_warnings(reached: Mapping[str, float]) -> list[str]:
    """Sentences on what of ``text_baselines`` was chosen at the end of what was tried.

    Example:
        >>> edge_warnings({"ridge_strength": 1000.0, "ridge_strength_at_edge": 1.0})[0]
        'The baseline ridge has strength 1000, the end of what was tried: beyond it, it might be better.'
    """
    chosen = [name.removesuffix(_AT_EDGE) for name in reached if name.endswith(_AT_EDGE)]
    return [
        f"The baseline {method} has {option} {reached[name]:g}, the end of what was tried: beyond it, it might be better."
        for name in chosen
        for method, _, option in [name.partition("_")]
    ]
