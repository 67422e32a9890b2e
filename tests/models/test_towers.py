"""Text towers: words to embeddings, kept whole in a model folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from likewise.errors import ModelError
from likewise.models import (
    EmbeddingModel,
    InputSpec,
    ProjectionHead,
    SmallCNNOptions,
    SmallTransformerOptions,
    find_text_encoder,
    load_model,
    save_model,
    text_encoder_names,
)

CAPTIONS = ["a red ring on the left", "two blue stars", "a dog's ball, thrown high"]


def model(head: str = "linear", **options: object) -> EmbeddingModel:
    torch.manual_seed(0)
    spec = InputSpec(channels=1, height=12, width=12, mean=(0.5,), std=(0.3,))
    text = SmallTransformerOptions(width=16, heads=2, layers=1, **options).fitted(CAPTIONS)  # type: ignore[arg-type]
    encoder = SmallCNNOptions(widths=(4, 8))
    return EmbeddingModel(encoder, spec, embedding_dim=6, normalize="output", head=head, text_encoder=text)  # type: ignore[arg-type]


@pytest.mark.parametrize("head", ["linear", "projection"])
def test_a_model_folder_holds_all_that_images_and_texts_need(head: str, tmp_path: Path) -> None:
    before = model(head).eval()
    images = torch.randint(0, 256, (3, 1, 12, 12), dtype=torch.uint8)
    save_model(before, tmp_path / "model")
    assert sorted(file.suffix for file in (tmp_path / "model").iterdir()) == [".json", ".json", ".safetensors"]
    after = load_model(tmp_path / "model")
    np.testing.assert_array_equal(after.embed_text(CAPTIONS), before.embed_text(CAPTIONS))
    np.testing.assert_array_equal(after.embed(images), before.embed(images))
    np.testing.assert_allclose(np.linalg.norm(after.embed_text(CAPTIONS), axis=1), 1, rtol=1e-5)


def test_a_text_does_not_depend_on_what_stands_beside_it() -> None:
    tower = model()
    together = tower.embed_text(CAPTIONS)
    alone = np.concatenate([tower.embed_text([text]) for text in CAPTIONS])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_word_order_counts_and_case_does_not() -> None:
    tower = model()
    first, second, third = tower.embed_text(["a red ring", "ring red a", "A RED  ring"])
    assert np.abs(first - second).max() > 1e-3
    np.testing.assert_allclose(first, third, atol=1e-6)


def test_longer_texts_are_cut_and_said_to_be() -> None:
    encoder = SmallTransformerOptions(width=16, heads=2, layers=1, max_tokens=4).fitted(CAPTIONS).build().eval()
    tokens = encoder.tokenize(["a red ring on the left", "two stars"])
    assert tokens.truncated.tolist() == [True, False]
    assert tokens.lengths.tolist() == [4, 2]
    cut = encoder.tokenize(["a red ring on"])
    torch.testing.assert_close(encoder(tokens.ids, tokens.lengths)[:1], encoder(cut.ids, cut.lengths))


def test_the_vocabulary_is_the_frequent_words() -> None:
    options = SmallTransformerOptions(least=2).fitted(["a b", "a c", "b a"])
    assert options.vocabulary == ("a", "b")
    assert options.build().tokenize(["c a z"]).ids.tolist() == [[1, 2, 1]]


def test_the_projection_head_is_the_sheets() -> None:
    head = ProjectionHead(5, 3).eval()
    x = torch.randn(4, 5)
    h = x @ head.projection.weight.T + head.projection.bias
    added = h + torch.nn.functional.gelu(h) @ head.fc.weight.T + head.fc.bias
    expected = (added - added.mean(1, keepdim=True)) / (added.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(head(x), expected)


@pytest.mark.parametrize(
    ("texts", "message"),
    [("a dog", "Expected a list"), (["a", "  "], "Text 1 is '  '"), (["a", 3], "Text 1 is 3")],
)
def test_bad_texts_are_named(texts: object, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        model().embed_text(texts)  # type: ignore[arg-type]


def test_a_model_of_images_alone_says_that_it_knows_no_texts() -> None:
    spec = InputSpec(channels=1, height=12, width=12, mean=(0.5,), std=(0.3,))
    with pytest.raises(ModelError, match=r"knows no texts.*clip-shapes"):
        EmbeddingModel(SmallCNNOptions(), spec, embedding_dim=2).embed_text(["a dog"])


def test_unknown_text_encoders_and_bad_widths_are_named() -> None:
    assert "small_transformer" in text_encoder_names()
    with pytest.raises(ModelError, match="'bert' is not known"):
        find_text_encoder("bert")
    with pytest.raises(ModelError, match="no vocabulary"):
        SmallTransformerOptions().build()
    with pytest.raises(ModelError, match="multiple of the heads"):
        SmallTransformerOptions(width=9, heads=2).fitted(["a"]).build()


def test_half_precision_takes_features_that_were_kept_in_full() -> None:
    frozen = model()
    frozen.freeze_encoder()
    assert frozen.text is not None
    frozen.text.freeze_encoder()
    rows = frozen.frozen_features(torch.zeros(2, 1, 12, 12, dtype=torch.uint8))
    states = frozen.text.frozen_states(frozen.text.encoder.tokenize(CAPTIONS))
    half = frozen.to(torch.bfloat16)
    assert half(rows).dtype == torch.bfloat16
    assert half.text is not None
    assert half.text.from_frozen(states.rows[:, None], states.length).dtype == torch.bfloat16
