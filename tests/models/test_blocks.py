"""Encoders in two parts: what is below the trained blocks and what is above are the whole, and only the latter learns."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from likewise.errors import ModelError
from likewise.models import (
    EfficientNetLiteOptions,
    EmbeddingModel,
    Encoder,
    InputSpec,
    PretrainedTextOptions,
    Ragged,
    ResNetOptions,
    SmallCNNOptions,
    SmallTransformerOptions,
)
from tiny_text_model import write_tiny_text_model

TEXTS = ["a red dog", "the dog runs in the park", "a cat"]
ENCODERS = {"efficientnet": EfficientNetLiteOptions(resolution=40), "resnet": ResNetOptions(depth=18, width=4)}


@pytest.fixture(scope="module")
def text_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_text_model(tmp_path_factory.mktemp("text"), ["a", "red", "dog", "runs", "in", "the", "park"])


@pytest.fixture(scope="module", params=["distilbert", "bert"])
def text_options(
    request: pytest.FixtureRequest, text_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> PretrainedTextOptions:
    if request.param == "distilbert":
        return PretrainedTextOptions(source=str(text_folder))
    transformers = pytest.importorskip("transformers", reason="needs likewise[clip]")
    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(1)
    config = transformers.BertConfig(
        vocab_size=11, hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32
    )
    transformers.BertModel(config).save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(text_folder).save_pretrained(folder)
    return PretrainedTextOptions(source=str(folder))


def scrambled(encoder: Encoder) -> Encoder:
    """With batch statistics and scales of their own: a fresh network's blocks are nearly the identity."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for module in encoder.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                for values in (module.weight, module.bias, module.running_mean):
                    assert values is not None
                    values.copy_(0.5 + 0.1 * torch.randn(values.shape, generator=generator))
    return encoder.eval()


def model(encoder: str = "resnet", text: PretrainedTextOptions | None = None) -> EmbeddingModel:
    torch.manual_seed(0)
    spec = InputSpec(channels=3, height=20, width=24, mean=(0.4,) * 3, std=(0.3,) * 3)
    built = EmbeddingModel(ENCODERS[encoder], spec, embedding_dim=5, normalize="output", text_encoder=text)
    scrambled(built.encoder)
    return built.eval()


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("count", [0, 1, 3])
def test_both_parts_of_an_image_encoder_are_the_whole(name: str, count: int) -> None:
    encoder = scrambled(ENCODERS[name].build(3, (40, 40)))
    images = torch.randn(2, 3, 40, 40)
    lower = encoder.lower(images, count)
    torch.testing.assert_close(encoder.upper(lower, count), encoder(images))
    whole = sum(parameter.numel() for parameter in encoder.parameters())
    above = sum(parameter.numel() for block in encoder.last_blocks(count) for parameter in block.parameters())
    assert (0 if name == "resnet" else 320 * 1280) <= above < whole


@pytest.mark.parametrize("count", [1, 2])
def test_both_parts_of_a_text_encoder_are_the_whole(text_options: PretrainedTextOptions, count: int) -> None:
    encoder = text_options.build().eval()
    tokens = encoder.tokenize(TEXTS)
    with torch.no_grad():
        hidden = encoder.lower(tokens.ids, tokens.lengths, count)
        inside = torch.arange(hidden.shape[1]) < tokens.lengths[:, None]
        cleared = hidden * inside[:, :, None]  # what stands at padding must not matter
        expected = encoder(tokens.ids, tokens.lengths)
        torch.testing.assert_close(encoder.upper(cleared, tokens.lengths, count), expected)
        alone = encoder.upper(hidden[2:, : tokens.lengths[2]], tokens.lengths[2:], count)
    torch.testing.assert_close(alone, expected[2:])


@pytest.mark.parametrize("name", ENCODERS)
def test_a_model_on_kept_grids_is_the_model_on_images(name: str) -> None:
    tuned = model(name)
    images = torch.randint(0, 256, (3, 3, 20, 24), dtype=torch.uint8)
    before = tuned(images)
    tuned.freeze_encoder(trained_blocks=1)
    tuned.train()
    kept = tuned.frozen_features(images)
    assert kept.ndim == 2
    torch.testing.assert_close(tuned(kept), before)  # batch statistics do not enter, though it is in training
    tuned(kept).square().sum().backward()
    learned = {name for name, parameter in tuned.encoder.named_parameters() if parameter.grad is not None}
    wanted = {name for name, parameter in tuned.encoder.named_parameters() if parameter.requires_grad}
    assert learned == wanted
    assert 0 < len(learned) < len(list(tuned.encoder.parameters())) / 2
    torch.testing.assert_close(tuned.eval()(images), before)  # nor have they moved


def test_a_text_tower_on_kept_states_is_the_tower_on_texts(text_options: PretrainedTextOptions) -> None:
    tower = model(text=text_options).text
    assert tower is not None
    expected = tower.embed(TEXTS)
    tower.freeze_encoder(trained_blocks=1)
    states = tower.frozen_states(tower.encoder.tokenize(TEXTS))
    assert states.rows.shape == (5 + 8 + 4, 16)
    torch.testing.assert_close(torch.from_numpy(tower.embed_frozen(states)), torch.from_numpy(expected))
    tower.train()
    assert tower.encoder.last_blocks(1)[0].training
    assert not tower.encoder.network.embeddings.training  # type: ignore[union-attr, operator]
    hidden, lengths = states.take(torch.tensor([0, 2]))
    tower.from_frozen(hidden, lengths).sum().backward()
    learned = {name for name, parameter in tower.encoder.named_parameters() if parameter.grad is not None}
    last = [name for name, parameter in tower.encoder.named_parameters() if parameter.requires_grad]
    assert learned == set(last)
    assert len({name.split("layer.")[1].split(".")[0] for name in learned}) == 1


def test_what_cannot_be_trained_in_part_is_named() -> None:
    spec = InputSpec(channels=3, height=20, width=24, mean=(0.4,) * 3, std=(0.3,) * 3)
    words = SmallTransformerOptions(width=16).fitted(TEXTS)
    plain = EmbeddingModel(SmallCNNOptions(widths=(4, 8)), spec, embedding_dim=2, text_encoder=words)
    with pytest.raises(ModelError, match=r"SmallCNN were to be trained.*efficientnet_lite or resnet"):
        plain.freeze_encoder(trained_blocks=1)
    assert plain.text is not None
    with pytest.raises(ModelError, match=r"small_transformer were to be trained.*text_blocks=0"):
        plain.text.freeze_encoder(trained_blocks=1)
    with pytest.raises(ModelError, match=r"last 9 blocks of the image encoder.*it has 8"):
        model().freeze_encoder(trained_blocks=9)


def test_ragged_items_are_a_list_of_tensors() -> None:
    draws = torch.Generator().manual_seed(0)
    length = torch.tensor([2, 1, 4, 1])
    items = [torch.randn(int(size), 3, generator=draws) for size in length]
    states = Ragged.empty(length, 3)
    for chosen in ([2, 0], [1, 3]):
        wide = torch.full((2, 4, 3), 9.0)
        for row, item in enumerate(chosen):
            wide[row, : length[item]] = items[item]
        states.put(torch.tensor(chosen), wide)
    for of in (states, states.of(torch.tensor([3, 2, 0, 2]))):
        numbers = [0, 1, 2, 3] if of is states else [3, 2, 0, 2]
        for taken in (of, of.packed()):
            padded, found = taken.take(torch.tensor([0, 2, 3]))
            assert found.tolist() == [length[numbers[place]] for place in (0, 2, 3)]
            for row, place in enumerate((0, 2, 3)):
                assert torch.equal(padded[row, : found[row]], items[numbers[place]])
                assert not padded[row, found[row] :].any()
    assert len(states.of(torch.tensor([1])).packed().rows) == 1
    assert states.take(torch.tensor([1, 3]))[0].shape == (2, 1, 3)
