"""Runs on frozen towers whose last blocks are trained: what is computed once, what learns, and what is compared with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import likewise as lw
from likewise.data.captions import Captions
from likewise.data.draws import Draws
from likewise.data.feature_store import FrozenImages, FrozenTexts
from likewise.data.views import flip_and_shift
from likewise.errors import RecipeError
from likewise.evaluation import image_text_retrieval
from likewise.models import EmbeddingModel, load_model
from likewise.recipe import TrainingOptions
from likewise.training.frozen import augmented
from tiny_text_model import write_tiny_text_model

from .captioned import WORDS, write_captioned


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the table, a tiny text model, and the cache of all runs of this file."""
    folder = tmp_path_factory.mktemp("tuned")
    (folder / "pictures").mkdir()
    write_captioned(folder / "pictures")
    (folder / "ratings.txt").write_text(
        "".join(f"{a}.png\t{b}.png#0\t{4 - 3 * ((a - b) % 4 > 0)}\n" for a in range(120) for b in range(120))
    )
    write_tiny_text_model(folder / "text", WORDS)
    return folder


def train(place: Path, out: str, **options: Any) -> lw.Run:
    settings = {
        "data": str(place / "pictures" / "mine.csv"), "budget": "smoke", "quiet": True, "epochs": 3, "learning_rate": 1e-2,
        "encoder": {"name": "resnet", "depth": 18, "width": 4}, "projection": "pca", "freeze": "both", "flip": True,
        "text_encoder": {"name": "transformers", "source": str(place / "text")}, "accelerator": "cpu",
        "image_blocks": 1, "text_blocks": 1, "precision": "32-true",
    } | options  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIKEWISE_HOME", str(place / "home"))
        return lw.train("captions-clip", place / out, **settings)


@pytest.fixture(scope="module")
def run(place: Path) -> lw.Run:
    return train(place, "run", evaluation__ratings=str(place / "ratings.txt"))


def learned(model: EmbeddingModel) -> list[torch.Tensor]:
    assert model.text is not None
    tuned = [*model.encoder.last_blocks(1), *model.text.encoder.last_blocks(1)]
    return [parameter for block in tuned for parameter in block.parameters()]


def test_only_the_last_blocks_and_the_heads_learn(run: lw.Run, place: Path) -> None:
    before = load_model(train(place, "untrained", epochs=0).folder)
    after = load_model(run.folder)
    assert all(not torch.equal(a, b) for a, b in zip(learned(before), learned(after), strict=True))
    own = {parameter.data_ptr() for parameter in learned(after)}
    for part in ("encoder", "text.encoder"):
        earlier = before.get_submodule(part).state_dict()
        for name, values in after.get_submodule(part).state_dict().items():
            if values.data_ptr() not in own:
                assert torch.equal(values, earlier[name]), name
    assert not torch.equal(before.embedding[-1].weight, after.embedding[-1].weight)  # type: ignore[arg-type, union-attr]


def test_the_numbers_of_the_run_are_those_of_the_stored_model(run: lw.Run) -> None:
    test, model = run.data().test, load_model(run.folder)
    assert test.captions is not None
    texts = [caption for given in test.captions for caption in given]
    found = image_text_retrieval(model.embed(test.images), model.embed_text(texts), np.arange(len(texts)) // 2)  # type: ignore[arg-type]
    for k in (1, 5, 10):
        assert found.text_to_image.recall[k] == pytest.approx(run.metrics[f"text_to_image_recall_at_{k}"], abs=0.03)
    kept = run.embeddings("test").embeddings
    np.testing.assert_allclose(model.embed(test.images), kept, atol=1e-4)  # type: ignore[arg-type]


def test_a_second_run_computes_nothing_of_the_frozen_part_again(
    run: lw.Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def passed(*arguments: object, **options: object) -> None:
        raise AssertionError("the frozen part was asked again")

    with monkeypatch.context() as patch:
        patch.setattr(EmbeddingModel, "frozen_features", passed)
        patch.setattr("likewise.models.TextTower.frozen_states", passed)
        again = train(place, "again")
    assert again.metrics["val_text_to_image_recall_at_1"] == run.metrics["val_text_to_image_recall_at_1"]


def test_what_is_kept_does_not_depend_on_the_weights_that_are_trained(run: lw.Run, place: Path) -> None:
    model = load_model(run.folder)
    model.freeze_encoder(trained_blocks=1)
    assert model.text is not None
    model.text.freeze_encoder(trained_blocks=1)
    data = run.data().test
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIKEWISE_HOME", str(place / "home"))
        files = len(list(place.rglob("features/*/*.safetensors")))
        FrozenImages(model).of(data)
        FrozenTexts(model).of(Captions(data).texts)
        assert len(list(place.rglob("features/*/*.safetensors"))) == files
        with torch.no_grad():
            model.encoder.get_submodule("conv1").weight.mul_(2)  # type: ignore[operator, union-attr]
        FrozenImages(model).of(data)
        assert len(list(place.rglob("features/*/*.safetensors"))) == files + 1


def test_features_are_mirrored_by_the_draws_that_mirror_images() -> None:
    options = TrainingOptions(flip=True)
    images = torch.arange(20 * 12).view(20, 1, 3, 4)
    kept = torch.stack([images, images.flip(-1)], dim=1).flatten(2)
    draws = [Draws(torch.Generator().manual_seed(5)) for _ in range(2)]
    expected = flip_and_shift(images, draws[0], flip=True, shift=0)
    found = augmented(kept, draws[1], options)
    assert torch.equal(found, expected.flatten(1))
    assert not torch.equal(found, kept[:, 0])
    assert torch.equal(augmented(kept[:, 0], draws[1], options), kept[:, 0])


def test_linear_maps_and_chance_stand_beside_the_run(run: lw.Run, place: Path) -> None:
    reached = run.evaluation["baselines"]
    assert reached["chance_text_to_image_recall_at_1"] == pytest.approx(1 / 24)
    for method in ("ridge", "cca"):
        for way in ("text_to_image", "image_to_text"):
            recalls = [reached[f"{method}_{way}_recall_at_{k}"] for k in (1, 5, 10)]
            assert recalls == sorted(recalls)
        assert reached[f"{method}_text_to_image_recall_at_10"] > 0.5  # by chance 10 of 24
    assert {"ridge_strength", "cca_shrinkage", "cca_dimension"} <= reached.keys()
    page = (run.folder / "report.html").read_text("utf-8").replace("\u00a0", " ")
    assert "Ridge regression" in page
    assert "without any training of a network: chance 4.2 %, ridge regression" in page
    again = train(place, "other-seed", epochs=0, evaluation__templates=("a {}",))
    assert again.evaluation["baselines"] == reached  # of the same images, captions and encoders, whatever is trained
    scratch = train(place, "scratch", epochs=0, freeze="encoder", text_blocks=0).evaluation["baselines"]
    assert {name.split("_")[0] for name in scratch} == {"chance"}


def test_agreement_with_ratings_is_measured_on_captions_of_other_images(run: lw.Run) -> None:
    assert run.metrics["rating_spearman"] > 0.3
    low, high = run.evaluation["intervals"]["rating_spearman"]
    assert low < run.metrics["rating_spearman"] < high
    assert run.evaluation["ratings"] == {
        "pairs": 24 * 23,
        "own": 24,
        "missing": 120 * 120 - 24 * 24,
        "file": "ratings.txt",
    }


def test_blocks_of_an_encoder_that_is_trained_whole_are_refused(place: Path) -> None:
    with pytest.raises(RecipeError, match=r"image_blocks is 1 and freeze is text_encoder.*image_blocks=0"):
        train(place, "refused", freeze="text_encoder")
    assert not (place / "refused").exists()
