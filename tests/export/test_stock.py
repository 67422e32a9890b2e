"""Our models as modules of sentence-transformers: loaded without our code they give the same embeddings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import likewise as lw
from likewise import verbs
from likewise.errors import ModelError
from likewise.export.stock_encoders import stock_encoder
from likewise.export.stock_modules import check_stock, write_stock_modules
from likewise.models import (
    EfficientNetLiteOptions,
    EmbeddingModel,
    EncoderOptions,
    InputSpec,
    PretrainedTextOptions,
    ResNetOptions,
    SmallCNNOptions,
    SmallTransformerOptions,
    VisionTransformerOptions,
)
from likewise.training import train

transformers = pytest.importorskip("transformers", reason="needs the extra clip")

COLOUR = InputSpec(channels=3, height=48, width=48, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))
GREY = InputSpec(channels=1, height=48, width=48, mean=(0.3,), std=(0.25,))


def _model(options: EncoderOptions, spec: InputSpec = COLOUR, **further: object) -> EmbeddingModel:
    torch.manual_seed(0)
    model = EmbeddingModel(options, spec, embedding_dim=6, **further)  # type: ignore[arg-type]
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.weight.data = 0.8 + 0.4 * torch.rand_like(module.weight)
            module.bias.data = 0.2 * torch.randn_like(module.bias)
            module.running_mean.copy_(0.2 * torch.randn_like(module.running_mean))
            module.running_var.copy_(0.5 + torch.rand_like(module.running_var))
    return model.eval()


def _pixels(count: int, channels: int = 3) -> torch.Tensor:
    return torch.randint(256, (count, channels, 48, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "options",
    [
        ResNetOptions(depth=18, width=4, stem="imagenet"),
        ResNetOptions(depth=50, width=4, stem="imagenet"),
        VisionTransformerOptions(patch_size=8, dim=16, depth=2, heads=2),
        EfficientNetLiteOptions(),
        EfficientNetLiteOptions(resolution=50),  # odd sizes on the way: 25, 13, 7
    ],
    ids=["resnet18", "resnet50", "vit", "efficientnet", "efficientnet-odd"],
)
@pytest.mark.parametrize("spec", [COLOUR, GREY], ids=["colour", "grey"])
def test_the_network_computes_the_same(options: EncoderOptions, spec: InputSpec) -> None:
    model = _model(options, spec)
    network, pooling = stock_encoder(model)
    pixels = model.normalized(_pixels(2, spec.channels))
    side = getattr(options, "resolution", 0)
    colour = pixels.expand(-1, 3, -1, -1)
    if side:
        colour = torch.nn.functional.interpolate(colour, (side, side), mode="bilinear", antialias=True)
    with torch.no_grad():
        hidden = network(pixel_values=colour).last_hidden_state
        expected = model.encoder(pixels)
    found = hidden.mean(dim=(2, 3)) if hidden.ndim == 4 else hidden.mean(dim=1)
    assert pooling == "mean"
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize(
    "head",
    [
        {"head": "projection", "normalize": "output"},
        {"hidden": 7, "batch_norm": True, "dropout": 0.1, "normalize": "never"},
    ],
    ids=["projection", "hidden-batch-norm"],
)
def test_both_towers_load_with_sentence_transformers(
    head: dict[str, object], tmp_path: Path, tiny_bert: Callable[..., PretrainedTextOptions]
) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers", reason="needs the extra hub")
    model = _model(
        VisionTransformerOptions(patch_size=16, dim=16, depth=1, heads=2), text_encoder=tiny_bert("mean"), **head
    )
    write_stock_modules(model, tmp_path)
    texts = ["a red ring", "ring", "two words", "a ring " * 20]
    found = check_stock(model, tmp_path, _pixels(3), texts)
    assert (found.images, found.texts) == (3, 4)
    assert found.largest_difference < 1e-4
    assert found.least_cosine > 0.99999
    loaded = sentence_transformers.SentenceTransformer(str(tmp_path), device="cpu", local_files_only=True)
    assert loaded.similarity_fn_name == ("cosine" if head["normalize"] == "output" else "euclidean")
    large = Image.fromarray(np.random.default_rng(0).integers(256, size=(7, 9, 3), dtype=np.uint8)).resize((120, 90))
    cosine = np.dot(*(v / np.linalg.norm(v) for v in (loaded.encode([large])[0], model.embed([large])[0])))
    assert cosine > 0.98  # pictures of any size: shorter side and middle, as Likewise does it
    weight = next(model.embedding.parameters())
    weight.data += 0.1 * torch.randn_like(weight)
    with pytest.raises(ModelError, match="sentence-transformers gives other embeddings"):
        check_stock(model, tmp_path, _pixels(3), texts)


def test_a_run_that_stock_modules_can_express(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers", reason="needs the extra hub")
    run = train(
        "digits-crossentropy", tmp_path / "run", budget="smoke", quiet=True,
        encoder={"name": "vit", "patch_size": 4, "dim": 16, "depth": 1, "heads": 2},
    )  # fmt: skip
    made = verbs.export(run.folder, tmp_path / "out", format="sentence-transformers")
    assert made.details["sentence_transformers"]["loads"] is True
    assert made.details["sentence_transformers"]["images"] == 32
    images = run.data().test.images[:3]
    assert np.array_equal(lw.load_model(made.path).embed(images), run.model.embed(images))
    assert {"modules.json", "config.json", "README.md", "model.safetensors"} < set(made.files)
    card = (made.path / "README.md").read_text()
    assert "It loads with sentence-transformers too: on 32 test images of 8 pixels" in card
    assert 'SentenceTransformer("out")' in card


def test_what_no_stock_network_computes_is_said(run: lw.Run, captioned: lw.Run, tmp_path: Path) -> None:
    made = verbs.export(run.folder, tmp_path / "out")
    said = "transformers has no network that computes what the encoder"
    assert said in (made.path / "README.md").read_text()
    assert said in made.lines[1]
    assert made.details["sentence_transformers"]["loads"] is False
    with pytest.raises(ModelError, match=rf"{said} small_cnn does\. It has one for vit, for resnet"):
        verbs.export(captioned.folder, tmp_path / "strict", format="sentence-transformers")
    assert not (tmp_path / "strict").exists()


def test_reasons(tmp_path: Path) -> None:
    for model, reason in (
        (_model(ResNetOptions(depth=18, width=2, stem="cifar")), "stem for small images"),
        (_model(VisionTransformerOptions(patch_size=7, dim=16, heads=2)), "do not divide"),
        (_model(SmallCNNOptions()), "encoder small_cnn"),
        (_model(VisionTransformerOptions(dim=8), COLOUR.model_copy(update={"width": 32})), "48 × 32"),
        (_model(EfficientNetLiteOptions(resolution=49)), "49 pixels"),
    ):
        with pytest.raises(ModelError, match=reason):
            stock_encoder(model)
    pytest.importorskip("sentence_transformers", reason="needs the extra hub")
    words = SmallTransformerOptions(width=8, heads=2).fitted(["a ring"])
    with pytest.raises(ModelError, match="text encoder small_transformer"):
        write_stock_modules(
            _model(VisionTransformerOptions(patch_size=16, dim=8, heads=2), text_encoder=words), tmp_path
        )
