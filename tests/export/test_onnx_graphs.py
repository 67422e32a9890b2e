"""Every encoder of ours as an ONNX graph: onnxruntime gives what torch gives, whatever the batch size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from likewise.errors import ModelError
from likewise.export import onnx_graphs, onnx_run
from likewise.export.onnx_graphs import ImageGraph, TextGraph, write_graph
from likewise.export.onnx_run import OnnxImages, OnnxTexts, check_parity
from likewise.export.tokenizer_file import write_tokenizer
from likewise.models import (
    EfficientNetLiteOptions,
    EmbeddingModel,
    EncoderOptions,
    InputSpec,
    MLPOptions,
    PretrainedImageOptions,
    PretrainedTextOptions,
    ResNetOptions,
    SiameseCNNOptions,
    SmallCNNOptions,
    SmallTransformerOptions,
    StridedCNNOptions,
    VisionTransformerOptions,
    WhitenedCNNOptions,
    efficientnet_lite,
    encoder_names,
    resnet,
    text_encoder_names,
)

pytest.importorskip("onnxruntime", reason="needs the extra onnx")

GREY = InputSpec(channels=1, height=20, width=24, mean=(0.3,), std=(0.3,))
COLOUR = InputSpec(channels=3, height=32, width=32, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))

TinyBert = Callable[..., PretrainedTextOptions]

# name → options, input, how the embedding is scaled
CASES: dict[str, tuple[EncoderOptions, InputSpec, str]] = {
    "siamese_cnn": (SiameseCNNOptions(), GREY, "never"),
    "small_cnn": (SmallCNNOptions(widths=(4, 8)), GREY, "always"),  # ends in a pooling that ONNX does not know
    "resnet": (ResNetOptions(depth=18, width=2), COLOUR, "output"),
    "strided_cnn": (StridedCNNOptions(widths=(3, 4)), GREY, "never"),
    "vit": (VisionTransformerOptions(patch_size=8, dim=16, depth=1, heads=2), GREY, "output"),
    "mlp": (MLPOptions(widths=(8,)), GREY, "always"),
    "whitened_cnn": (WhitenedCNNOptions(widths=(8, 8)), COLOUR, "output"),
    "efficientnet_lite": (EfficientNetLiteOptions(resolution=48), COLOUR, "output"),
}


def _with_life(model: EmbeddingModel) -> EmbeddingModel:
    """Running averages as after training: fresh ones hide a batch normalisation that is left out."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            for tensor in (module.running_mean, module.weight, module.bias):
                assert tensor is not None
                tensor.data += 0.2 * torch.randn(tensor.shape, generator=generator)
            assert module.running_var is not None
            module.running_var += torch.rand(module.running_var.shape, generator=generator)
    return model.eval()


def _pixels(spec: InputSpec, count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, spec.channels, spec.height, spec.width), dtype=torch.uint8, generator=generator)


def test_every_encoder_has_a_case() -> None:
    assert set(encoder_names()) == {*CASES, "transformers"}
    assert set(text_encoder_names()) == {"small_transformer", "transformers"}


@pytest.mark.parametrize("name", CASES)
def test_images(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Tracing takes its time for every layer: one block of each kind is enough.
    monkeypatch.setitem(resnet._STAGES, 18, (1, 1, 1, 1))
    monkeypatch.setattr(efficientnet_lite, "_STAGES", ((3, 1, 1, 16, 1), (5, 2, 6, 24, 2)))
    options, spec, normalize = CASES[name]
    torch.manual_seed(0)
    model = _with_life(EmbeddingModel(options, spec, embedding_dim=5, normalize=normalize, head="linear"))
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    write_graph(ImageGraph(model), tmp_path / "image.onnx", inputs=("pixels",), metadata={"made": "here"})
    graph = OnnxImages(tmp_path / "image.onnx")
    assert graph.metadata == {"made": "here"}
    pixels = _pixels(spec, 9)
    expected = model.embed(pixels)
    assert np.ptp(expected) > 1e-3
    for size in (1, 4, 9):
        found = graph.embed(pixels, size)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=2e-5 * max(1, np.abs(expected).max()))
    assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())


def test_a_network_of_transformers_with_a_projection_head(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="needs the extra clip")
    config = transformers.ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic")
    options = PretrainedImageOptions(architecture=config.to_dict(), resolution=40)
    torch.manual_seed(0)
    model = _with_life(EmbeddingModel(options, COLOUR, embedding_dim=5, normalize="output", head="projection"))
    write_graph(ImageGraph(model), tmp_path / "image.onnx", inputs=("pixels",), metadata={})
    parity = check_parity(model, OnnxImages(tmp_path / "image.onnx"), _pixels(COLOUR, 9))
    assert parity.batch_sizes == (1, 7, 9)
    assert parity.largest_difference <= parity.bound == pytest.approx(1e-4)


TEXTS = [
    "a red ring",
    "Ring",
    "two dogs' balls, one RED ring; a ﬁne Straße!",
    "unknown words only",
    "…",
    "a ring " * 20,
]


def test_words_of_our_own_tokenizer() -> None:
    tokenizers = pytest.importorskip("tokenizers")
    fitted = SmallTransformerOptions(width=16, layers=1, heads=2, max_tokens=12).fitted([*TEXTS[:3], "ΟΔΟΣ λόγος"])
    encoder = fitted.build()
    written = tokenizers.Tokenizer.from_str(write_tokenizer(encoder))
    texts = [*TEXTS, "ΟΔΟΣ ΛΌΓΟΣ λόγος"]
    tokens = encoder.tokenize(texts)
    found = written.encode_batch(texts)
    assert [row.ids for row in found] == tokens.ids.tolist()
    assert [sum(row.attention_mask) for row in found] == tokens.lengths.tolist()
    assert tokens.truncated.tolist() == [False, False, True, False, False, True, False]


def test_texts_of_transformers(tmp_path: Path, tiny_bert: TinyBert) -> None:
    options = tiny_bert("last")
    torch.manual_seed(0)
    model = EmbeddingModel(MLPOptions(widths=(4,)), GREY, embedding_dim=5, text_encoder=options).eval()
    assert model.text is not None
    graph = _text_graph(model, write_tokenizer(model.text.encoder), tmp_path)
    for size in (1, 4, 6):
        expected = model.embed_text(TEXTS)
        np.testing.assert_allclose(graph.embed(TEXTS, size), expected, atol=2e-6)


def _text_graph(model: EmbeddingModel, tokenizer: str, folder: Path) -> OnnxTexts:
    write_graph(TextGraph(model), folder / "text.onnx", inputs=("input_ids", "attention_mask"), metadata={})
    return OnnxTexts(folder / "text.onnx", tokenizer)


def test_a_graph_that_differs_is_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = EmbeddingModel(MLPOptions(widths=(4,)), GREY, embedding_dim=5)
    write_graph(ImageGraph(model), tmp_path / "image.onnx", inputs=("pixels",), metadata={})
    graph = OnnxImages(tmp_path / "image.onnx")
    with torch.no_grad():
        model.embedding[0].bias[2] += 0.01
    with pytest.raises(ModelError, match=r"image\.onnx differs from torch by 1\.00e-02 on 3 samples\. Expected"):
        check_parity(model, graph, _pixels(GREY, 3))


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_graphs, "_NEEDED", ("onnx", "no_such_package"))
    with pytest.raises(ModelError, match=r"needs no_such_package, which is not installed.*likewise\[onnx\]"):
        onnx_graphs.require_onnx()
    assert onnx_run.BOUND == 1e-4
