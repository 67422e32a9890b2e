"""One finished run of images alone, and one of images and captions, for all forms that a model is exported to."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

import likewise as lw
from likewise.models import PretrainedTextOptions
from likewise.training import train


@pytest.fixture(scope="package", autouse=True)
def translations_read_once() -> Iterator[None]:
    """The exporter reads its 500 translations anew for each graph, which takes longer than all else of a small one."""
    with pytest.MonkeyPatch.context() as patch:
        if find_spec("onnxscript") is not None:
            from torch.onnx._internal.exporter._registration import ONNXRegistry

            once = functools.cache(ONNXRegistry.from_torchlib)
            patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(once))
        yield


@pytest.fixture(scope="package")
def run(tmp_path_factory: pytest.TempPathFactory) -> lw.Run:
    return train("digits-crossentropy", tmp_path_factory.mktemp("run") / "digits", budget="smoke", quiet=True)


@pytest.fixture(scope="package")
def captioned(tmp_path_factory: pytest.TempPathFactory) -> lw.Run:
    """Trained on 60 little pictures with two captions each, with a text tower."""
    folder = tmp_path_factory.mktemp("pictures")
    rows = ["image,caption"]
    draws = np.random.default_rng(0)
    for number in range(60):
        colour = ("red", "green", "blue")[number % 3]
        pixels = draws.integers(0, 60, (12, 12, 3))
        pixels[..., number % 3] += 190
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
        rows += [f"{number}.png,a {colour} thing", f'{number}.png,"it is {colour}, number {number}"']
    (folder / "mine.csv").write_text("\n".join(rows) + "\n")
    return train(
        "captions-clip",
        tmp_path_factory.mktemp("run") / "pictures",
        data=str(folder / "mine.csv"),
        budget="smoke",
        quiet=True,
        encoder__widths=(4, 8),
        text_encoder__width=16,
        text_encoder__heads=2,
    )


@pytest.fixture(scope="package")
def tiny_bert() -> Callable[..., PretrainedTextOptions]:
    """``tiny_bert(pooling="mean")``: a text encoder of ``transformers`` with eight words and random weights."""
    transformers = pytest.importorskip("transformers", reason="needs the extra clip")
    tokenizers = pytest.importorskip("tokenizers", reason="needs the extra clip")
    words = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "red", "ring", "two")
    known = {word: number for number, word in enumerate(words)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(known, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    config = transformers.BertConfig(
        vocab_size=len(words),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=16,
    )

    def options(pooling: str) -> PretrainedTextOptions:
        return PretrainedTextOptions(
            architecture=config.to_dict(), tokenizer=tokenizer.to_str(), pooling=pooling, max_tokens=10
        )

    return options
