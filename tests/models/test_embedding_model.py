from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from likewise.errors import ModelError
from likewise.models import EmbeddingModel, InputSpec, SiameseCNNOptions, SmallCNNOptions, load_model, save_model


def model_for(channels: int = 3, side: int = 16, **options: object) -> EmbeddingModel:
    torch.manual_seed(0)
    spec = InputSpec(channels=channels, height=side, width=side, mean=(0.4,) * channels, std=(0.3,) * channels)
    return EmbeddingModel(SmallCNNOptions(widths=(4, 8, 16)), spec, **{"embedding_dim": 6} | options).eval()  # type: ignore[arg-type]


def test_input_spec_measures_mean_and_deviation_of_each_channel() -> None:
    images = torch.randint(0, 256, (20, 3, 5, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images[:, 2] = 51
    spec = InputSpec.measure(images)
    expected = images.double().div(255)
    assert spec.mean == pytest.approx(expected.mean(dim=(0, 2, 3)).tolist())
    assert spec.std[:2] == pytest.approx(expected.std(dim=(0, 2, 3), correction=0).tolist()[:2])
    assert spec.std[2] == 1.0
    assert (spec.channels, spec.height, spec.width) == (3, 5, 7)


def test_embed_takes_tensors_arrays_and_pictures_alike() -> None:
    model = model_for()
    pixels = np.random.default_rng(0).integers(0, 256, (5, 3, 16, 16), dtype=np.uint8)
    pictures = [Image.fromarray(image.transpose(1, 2, 0)) for image in pixels]
    from_array = model.embed(pixels)
    assert from_array.dtype == np.float32
    assert from_array.shape == (5, 6)
    np.testing.assert_array_equal(model.embed(torch.from_numpy(pixels)), from_array)
    np.testing.assert_allclose(model.embed(pictures), from_array, rtol=1e-4, atol=1e-5)


def test_embed_resizes_and_converts_what_has_another_shape() -> None:
    grey, colour = model_for(channels=1), model_for(channels=3)
    flat = torch.full((2, 3, 40, 24), 90, dtype=torch.uint8)
    np.testing.assert_allclose(
        colour.embed(flat), colour.embed(torch.full((2, 3, 16, 16), 90, dtype=torch.uint8)), rtol=1e-3, atol=1e-4
    )
    np.testing.assert_allclose(
        grey.embed(flat), grey.embed(torch.full((2, 1, 16, 16), 90, dtype=torch.uint8)), rtol=1e-3, atol=1e-4
    )
    assert colour.embed(torch.zeros(2, 1, 16, 16, dtype=torch.uint8)).shape == (2, 6)


def test_embed_keeps_training_mode_and_refuses_what_it_cannot_read() -> None:
    model = model_for().train()
    model.embed(torch.zeros(2, 3, 16, 16, dtype=torch.uint8))
    assert model.training
    with pytest.raises(ModelError, match=r"shape \(16,\).*\(N, C, H, W\)"):
        model.embed(torch.zeros(16))
    with pytest.raises(ModelError, match="4 channels"):
        model.embed(torch.zeros(1, 4, 16, 16))
    with pytest.raises(ModelError, match="images 0 to 0 are not finite"):
        model.embed(torch.full((1, 3, 16, 16), float("nan")))
    assert model.embed(torch.zeros(0, 3, 16, 16)).shape == (0, 6)


def test_normalised_embeddings_have_norm_one() -> None:
    model = model_for(normalize="output")
    norms = np.linalg.norm(model.embed(torch.randint(0, 256, (9, 3, 16, 16), dtype=torch.uint8)), axis=1)
    np.testing.assert_allclose(norms, 1, rtol=1e-5)


@pytest.mark.parametrize("class_scores", [None, "linear"])
def test_a_saved_model_gives_the_same_embeddings_bit_for_bit(class_scores: str | None, tmp_path: Path) -> None:
    model = model_for(class_names=("cat", "dog"), class_scores=class_scores, normalize="output")
    images = torch.randint(0, 256, (5, 3, 16, 16), dtype=torch.uint8)
    save_model(model, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    np.testing.assert_array_equal(loaded.embed(images), model.embed(images))
    assert loaded.class_names == ("cat", "dog")
    assert loaded.input == model.input
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["config.json", "model.safetensors"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    save_model(model_for(), tmp_path / "model")
    assert load_model(tmp_path / "model").class_names == ()


def test_a_projection_head_is_kept_and_its_dropout_ends_with_training(tmp_path: Path) -> None:
    torch.manual_seed(0)
    spec = InputSpec(channels=1, height=12, width=12, mean=(0.5,), std=(0.3,))
    model = EmbeddingModel(SmallCNNOptions(widths=(4, 8)), spec, embedding_dim=3, hidden=20, dropout=0.5)
    images = torch.randint(0, 256, (6, 1, 12, 12), dtype=torch.uint8)
    shapes = [tuple(layer.weight.shape) for layer in model.embedding if isinstance(layer, torch.nn.Linear)]
    assert shapes == [(20, model.encoder.out_features), (3, 20)]
    assert not torch.equal(model(images), model(images))
    save_model(model, tmp_path / "model")
    np.testing.assert_array_equal(load_model(tmp_path / "model").embed(images), model.embed(images))


def test_without_a_head_the_features_are_the_embedding(tmp_path: Path) -> None:
    model = model_for(embedding_dim=144, head="none")
    images = torch.randint(0, 256, (5, 3, 16, 16), dtype=torch.uint8)
    model.train()(images)
    with torch.no_grad():
        features = model.eval().features(images)
    assert np.array_equal(model.embed(images), features.numpy())
    save_model(model, tmp_path / "model")
    assert np.array_equal(load_model(tmp_path / "model").embed(images), features.numpy())
    for options in ({"embedding_dim": 10}, {"embedding_dim": 144, "hidden": 8}):
        with pytest.raises(ModelError, match=r"gives 144 features.*Set embedding_dim=144"):
            model_for(head="none", **options)


def test_class_scores_only_where_they_were_trained() -> None:
    spec = InputSpec(channels=1, height=28, width=28, mean=(0.3,), std=(0.3,))
    with pytest.raises(ModelError, match="no class scores"):
        model_for().classify(torch.zeros(1, 6))
    with pytest.raises(ModelError, match=r"embedding_dim is 5 and there are 2 classes.*embedding_dim=2"):
        EmbeddingModel(SiameseCNNOptions(), spec, embedding_dim=5, class_names="ab", class_scores="embedding")
    same = EmbeddingModel(SiameseCNNOptions(), spec, embedding_dim=2, class_names="ab", class_scores="embedding")
    z = torch.rand(3, 2)
    assert torch.equal(same.classify(z), z)


def test_a_damaged_or_foreign_model_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds no model.*--out"):
        load_model(tmp_path)
    folder = save_model(model_for(), tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"format": 99}))
    with pytest.raises(ModelError, match=r"format 99.*Update"):
        load_model(folder)
    (folder / "config.json").write_text(json.dumps(config | {"embedding_dim": 7}))
    with pytest.raises(ModelError, match="cannot be read"):
        load_model(folder)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(b"\x00" * 12)
    with pytest.raises(ModelError, match="cannot be read"):
        load_model(folder)


def test_a_failed_write_leaves_the_old_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    folder = save_model(model_for(), tmp_path / "model")
    before = load_model(folder).embed(images)

    def full(tensors: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("likewise.models.storage.save_file", full)
    with pytest.raises(ModelError, match="No space left"):
        save_model(model_for(normalize="output"), folder)
    np.testing.assert_array_equal(load_model(folder).embed(images), before)


def test_a_batch_is_passed_in_parts_of_so_many_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = InputSpec(channels=1, height=64, width=64, mean=(0.5,), std=(0.5,))
    torch.manual_seed(0)
    model = EmbeddingModel(SmallCNNOptions(widths=(4, 8)), spec, embedding_dim=3)
    images = torch.randint(0, 256, (130, 1, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        whole = model.eval()(images).numpy()
    seen: list[int] = []
    forward = EmbeddingModel.forward

    def watched(self: EmbeddingModel, images: torch.Tensor) -> torch.Tensor:
        seen.append(len(images))
        return forward(self, images)

    monkeypatch.setattr(EmbeddingModel, "forward", watched)
    done: list[int] = []
    found = model.embed(images, batch_size=100, progress=done.append)
    np.testing.assert_allclose(found, whole, atol=1e-5)
    assert seen == [64, 36, 30]
    assert done[-1] == 130
