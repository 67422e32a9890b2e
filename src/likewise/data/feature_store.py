"""What towers that are not trained make of images and texts: computed once, kept on disk, so that an epoch costs only the rest.

What is kept is found by what it depends on: the weights and options of the encoder's frozen part, its preprocessing, and the
image's pixels or the text itself. So a sample of a data set, a second run or another head finds what is there (in the newest
files of that encoder), and nothing stale is ever used. Where the last blocks of an encoder are trained, what goes into them is
kept: of an image its grid, of a text a row for each token.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from likewise.data.cache import cache_home
from likewise.data.captions import image_digests
from likewise.data.dataset import ImageDataset
from likewise.data.progress import Progress
from likewise.errors import ModelError
from likewise.models import EmbeddingModel, Encoder, Ragged, TextEncoder
from likewise.models.embedding import in_small_parts

__all__ = ["FrozenImages", "FrozenTexts", "weights_digest"]

logger = logging.getLogger("likewise")
_VERSION = 3  # raise it when the same encoder would give something else
_BATCH = 128
_PART = 2048  # items that are computed before they are kept
_SEARCHED = 16  # files of other sets that are looked through for items, the newest first
_OF_MODEL: WeakKeyDictionary[EmbeddingModel, FrozenTexts] = WeakKeyDictionary()


def weights_digest(encoder: nn.Module, without: Sequence[nn.Module] = ()) -> str:
    """A digest of an encoder's weights and statistics, those of the modules in ``without`` left out."""
    digest = hashlib.sha256()
    left_out = {tensor.data_ptr() for module in without for tensor in module.state_dict().values() if tensor.numel()}
    for name, tensor in sorted(encoder.state_dict().items()):
        if tensor.data_ptr() not in left_out:
            digest.update(f"{name}{tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class _Store:
    """Items by digest, in memory and in one file for each set that was asked for."""

    def __init__(self, encoder: Encoder | TextEncoder, blocks: int, settings: Any, kind: str) -> None:
        trained = encoder.last_blocks(blocks) if blocks else ()
        settings = json.dumps(settings, sort_keys=True)
        weights = weights_digest(encoder, trained)
        digest = hashlib.sha256(f"{_VERSION}|{kind}|{len(trained)}|{settings}|{weights}".encode())
        self._folder = cache_home() / "features" / digest.hexdigest()[:32]
        self._kind = kind
        self._item: dict[bytes, int] = {}
        self._kept: Ragged | None = None

    def get(self, keys: Sequence[bytes], compute: Callable[[list[int], Callable[[int], None]], Ragged]) -> Ragged:
        """The items of ``keys``; ``compute`` is asked for the positions that are not there, each key once.

        They are computed and kept part by part, so that a run that is killed meanwhile has not worked for nothing.
        """
        if self._kept is None or not all(key in self._item for key in keys):
            file = self._file(keys)
            if not self._read(file):
                self._search(set(keys) - self._item.keys())
                fresh = {key: position for position, key in enumerate(keys) if key not in self._item}
                missing = list(fresh)
                parts = [missing[first : first + _PART] for first in range(0, len(missing), _PART)]
                beside = [self._file(part, of_a_part=True) for part in parts] if len(parts) > 1 else [None] * len(parts)
                with Progress(f"Features of {len(fresh):,} {self._kind}s by the frozen encoder", len(fresh)) as shown:
                    for part, kept in zip(parts, beside, strict=True):
                        if kept and self._read(kept):
                            shown.advance(len(part))
                            continue
                        self._add(part, compute([fresh[key] for key in part], shown.advance))
                        if kept:
                            self._write(kept, part)
                self._write(file, list(dict.fromkeys(keys)))
                if file.is_file():
                    for kept in filter(None, beside):
                        kept.unlink(missing_ok=True)
        return self._chosen(keys)

    def _file(self, keys: Sequence[bytes], *, of_a_part: bool = False) -> Path:
        """Where a set is kept; a part of one that is being computed has a name of its own, since it is removed at the end."""
        kind = "part-" if of_a_part else ""
        return self._folder / f"{kind}{hashlib.sha256(b''.join(keys)).hexdigest()[:32]}.safetensors"

    def _search(self, missing: set[bytes]) -> None:
        """Read those of ``missing`` that stand in files of other sets, row by row, and nothing else of these."""
        try:
            files = sorted(self._folder.glob("[!p]*.safetensors"), key=lambda file: -file.stat().st_mtime)
        except OSError:  # another process has removed one meanwhile
            files = []
        for file in files[:_SEARCHED]:
            if not missing:
                return
            try:
                with safe_open(file, framework="pt") as saved:
                    keys = [row.tobytes() for row in saved.get_tensor("keys").numpy()]
                    found = [position for position, key in enumerate(keys) if key in missing]
                    if not found:
                        continue
                    length = saved.get_tensor("length")
                    ends, rows = length.cumsum(0).tolist(), saved.get_slice("rows")
                    length = length[found]
                    taken = [rows[ends[at] - size : ends[at]] for at, size in zip(found, length.tolist(), strict=True)]
            except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
                logger.warning("%s is damaged (%s): it is not looked through", file, error)
                continue
            self._add([keys[at] for at in found], Ragged(torch.cat(taken), length.cumsum(0) - length, length))
            missing = missing - self._item.keys()

    def _chosen(self, keys: Sequence[bytes]) -> Ragged:
        assert self._kept is not None
        return self._kept.of(torch.tensor([self._item[key] for key in keys], dtype=torch.int64))

    def _add(self, keys: list[bytes], items: Ragged) -> None:
        self._item |= {key: len(self._item) + position for position, key in enumerate(keys)}
        before = self._kept
        if before is None:
            self._kept = items
            return
        first = torch.cat([before.first, items.first + len(before.rows)])
        self._kept = Ragged(torch.cat([before.rows, items.rows]), first, torch.cat([before.length, items.length]))

    def _read(self, file: Path) -> bool:
        if not file.is_file():
            return False
        try:
            saved = load_file(file)
            keys = [row.tobytes() for row in saved["keys"].numpy()]
            length = saved["length"]
            items = Ragged(saved["rows"], length.cumsum(0) - length, length)
            new = [position for position, key in enumerate(keys) if key not in self._item]
            if len(new) < len(keys):
                items = items.of(torch.tensor(new, dtype=torch.int64)).packed()
            self._add([keys[position] for position in new], items)
        except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
            logger.warning("%s is damaged (%s): its features are computed again", file, error)
            return False
        return True

    def _write(self, file: Path, keys: list[bytes]) -> None:
        beside = file.with_name(f".{file.name}.{os.getpid()}.{id(self)}.part")
        items = self._chosen(keys).packed()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            save_file(
                {
                    "keys": torch.frombuffer(bytearray(b"".join(keys)), dtype=torch.uint8).view(len(keys), -1),
                    "rows": items.rows,
                    "length": items.length,
                },
                beside,
            )
            beside.replace(file)
        except (OSError, SafetensorError) as error:  # the next run pays again; this one has what it needs
            beside.unlink(missing_ok=True)
            logger.warning("the %s features could not be kept in %s (%s)", self._kind, file, error)


class FrozenImages:
    """What the frozen part of the model's image encoder makes of images: ``EmbeddingModel.frozen_features``.

    Args:
        model: with an image encoder of which all, or all but its last blocks, stays as it is.
    """

    def __init__(self, model: EmbeddingModel) -> None:
        self._model = model

    def _store(self) -> _Store:
        """Of the weights as they are now: a run in bfloat16 rounds them when it begins."""
        model = self._model
        settings = [model.encoder_options.stored().model_dump(), model.input.model_dump()]
        return _Store(model.encoder, model.trained_blocks, settings, "image")

    def of(self, data: ImageDataset, *, mirrored: bool = False) -> Tensor:
        """(N, K) float32 on the CPU, of the images or of their mirror images."""

        @torch.inference_mode()
        def compute(positions: list[int], advance: Callable[[int], None]) -> Ragged:
            model = self._model
            training, device = model.training, model.mean.device
            model.eval()
            parts = []
            try:
                for _, images in data.batches(torch.tensor(positions).split(_BATCH)):
                    fitted = model.input.fitted(images.flip(-1) if mirrored else images)
                    small = in_small_parts(model, fitted)
                    parts += [model.frozen_features(part.to(device)).float().cpu() for part in small]
                    advance(len(images))
            finally:
                model.train(training)
            return Ragged.of_rows(torch.cat(parts))

        keys = [digest + b"mirrored" for digest in image_digests(data)] if mirrored else image_digests(data)
        found = self._store().get(keys, compute)
        return found.rows[found.first]


class FrozenTexts:
    """What the frozen part of the model's text encoder makes of texts: ``TextTower.frozen_states``.

    Args:
        model: with a text tower of whose encoder all, or all but its last layers, stays as it is.
    """

    def __init__(self, model: EmbeddingModel) -> None:
        if model.text is None:
            raise ModelError("This model has no text tower.", expected="Expected one: its features are asked for.")
        self._tower = model.text
        self._stores: dict[torch.dtype, _Store] = {}

    @classmethod
    def of_model(cls, model: EmbeddingModel) -> FrozenTexts:
        """The one of this model, which holds what it read or computed before."""
        if model not in _OF_MODEL:
            _OF_MODEL[model] = cls(model)
        return _OF_MODEL[model]

    def of(self, texts: Sequence[str]) -> Ragged:
        """Float32 on the CPU: of each text a row for each token, or its features in one row."""
        keys = [hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts]

        def compute(positions: list[int], advance: Callable[[int], None]) -> Ragged:
            states = self._tower.frozen_states(
                self._tower.encoder.tokenize([texts[position] for position in positions])
            )
            advance(len(positions))
            return states

        return self._store().get(keys, compute)

    def _store(self) -> _Store:
        """Of the weights as they are now: a run in bfloat16 rounds them when it begins."""
        tower = self._tower
        dtype = next(tower.encoder.parameters()).dtype
        if dtype not in self._stores:
            self._stores[dtype] = _Store(tower.encoder, tower.trained_blocks, tower.options.model_dump(), "text")
        return self._stores[dtype]
