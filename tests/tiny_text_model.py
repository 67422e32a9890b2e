"""A tiny DistilBERT with its tokenizer, as ``save_pretrained`` writes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch


def write_tiny_text_model(folder: Path, words: Sequence[str]) -> Path:
    """A folder that ``text_encoder={"name": "transformers", "source": folder}`` takes; its vocabulary are ``words``."""
    transformers = pytest.importorskip("transformers", reason="needs likewise[clip]")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words]
    torch.manual_seed(0)
    config = transformers.DistilBertConfig(
        vocab_size=len(vocabulary), dim=16, n_layers=2, n_heads=2, hidden_dim=32, max_position_embeddings=12
    )
    transformers.DistilBertModel(config).save_pretrained(folder)
    transformers.BertTokenizer(vocab={word: number for number, word in enumerate(vocabulary)}).save_pretrained(folder)
    return folder
