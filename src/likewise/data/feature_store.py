"""Features of towers that are not trained: computed once, kept on disk, so that an epoch costs only what is trained.

A feature is found by what it depends on: the encoder's weights and options, its preprocessing, and the image's pixels or
the text itself. So a sample of a data set, a second run or another head finds what is there, and nothing stale is ever used.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from likewise.data.cache import cache_home
from likewise.data.captions import image_digests
from likewise.data.dataset import ImageDataset
from likewise.errors import ModelError
from likewise.models import EmbeddingModel

__all__ = ["FrozenImages", "FrozenTexts", "is_frozen"]

logger = logging.getLogger("likewise")
_VERSION = 1  # raise it when the same encoder would give other features
_BATCH = 128


def is_frozen(module: nn.Module) -> bool:
    """Whether a module has weights and none of them is trained."""
    flags = [parameter.requires_grad for parameter in module.parameters()]
    return bool(flags) and not any(flags)


class _Store:
    """Features by digest, in memory and in one file for each set that was asked for."""

    def __init__(self, encoder: nn.Module, settings: str, kind: str) -> None:
        digest = hashlib.sha256(f"{_VERSION}|{kind}|{settings}".encode())
        for name, tensor in sorted(encoder.state_dict().items()):
            digest.update(f"{name}{tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        self._folder = cache_home() / "features" / digest.hexdigest()[:32]
        self._kind = kind
        self._row: dict[bytes, int] = {}
        self._features = torch.empty(0, 0)

    def get(self, keys: Sequence[bytes], compute: Callable[[list[int]], Tensor]) -> Tensor:
        """The features of ``keys``; ``compute`` is asked for the positions that are not there, each key once."""
        if not all(key in self._row for key in keys):
            file = self._folder / f"{hashlib.sha256(b''.join(keys)).hexdigest()[:32]}.safetensors"
            if not self._read(file):
                fresh = {key: position for position, key in enumerate(keys) if key not in self._row}
                self._add(list(fresh), compute(list(fresh.values())))
                self._write(file, list(dict.fromkeys(keys)))
        return self._features[torch.tensor([self._row[key] for key in keys])]

    def _add(self, keys: list[bytes], features: Tensor) -> None:
        self._row |= {key: len(self._row) + position for position, key in enumerate(keys)}
        self._features = features if not len(self._features) else torch.cat([self._features, features])

    def _read(self, file: Path) -> bool:
        if not file.is_file():
            return False
        try:
            saved = load_file(file)
            keys = [row.tobytes() for row in saved["keys"].numpy()]
            new = [position for position, key in enumerate(keys) if key not in self._row]
            self._add([keys[position] for position in new], saved["features"][new])
        except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
            logger.warning("%s is damaged (%s): its features are computed again", file, error)
            return False
        return True

    def _write(self, file: Path, keys: list[bytes]) -> None:
        beside = file.with_name(f".{file.name}.{id(self)}.part")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            save_file(
                {
                    "keys": torch.frombuffer(bytearray(b"".join(keys)), dtype=torch.uint8).view(len(keys), -1),
                    "features": self._features[torch.tensor([self._row[key] for key in keys])],
                },
                beside,
            )
            beside.replace(file)
        except (OSError, SafetensorError) as error:  # the next run pays again; this one has what it needs
            beside.unlink(missing_ok=True)
            logger.warning("the %s features could not be kept in %s (%s)", self._kind, file, error)


class FrozenImages:
    """Features of images under the model's image encoder.

    Args:
        model: with an image encoder whose weights stay as they are.
    """

    def __init__(self, model: EmbeddingModel) -> None:
        settings = json.dumps([model.encoder_options.model_dump(), model.input.model_dump()], sort_keys=True)
        self._model = model
        self._store = _Store(model.encoder, settings, "image")

    def of(self, data: ImageDataset) -> Tensor:
        """(N, F) float32 on the CPU."""

        @torch.inference_mode()
        def compute(positions: list[int]) -> Tensor:
            model = self._model
            training, device = model.training, model.mean.device
            model.eval()
            try:
                parts = [
                    model.features(images.to(device)).float().cpu()
                    for _, images in data.batches(torch.tensor(positions).split(_BATCH))
                ]
            finally:
                model.train(training)
            return torch.cat(parts)

        return self._store.get(image_digests(data), compute)


class FrozenTexts:
    """Features of texts under the model's text encoder.

    Args:
        model: with a text tower whose encoder's weights stay as they are.
    """

    def __init__(self, model: EmbeddingModel) -> None:
        if model.text is None:
            raise ModelError("This model has no text tower.", expected="Expected one: its features are asked for.")
        self._tower = model.text
        settings = json.dumps(model.text.options.model_dump(), sort_keys=True)
        self._store = _Store(model.text.encoder, settings, "text")

    def of(self, texts: Sequence[str]) -> Tensor:
        """(N, F) float32 on the CPU."""
        keys = [hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts]

        def compute(positions: list[int]) -> Tensor:
            return self._tower.features(self._tower.encoder.tokenize([texts[position] for position in positions]))

        return self._store.get(keys, compute)
