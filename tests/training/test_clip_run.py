"""Runs with captions, from recipe to report: what is written, what is frozen, and what stops a run."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import likewise as lw
from likewise.comparison.metrics import per_image
from likewise.errors import DatasetError, TrainingError
from likewise.models import EmbeddingModel
from likewise.report import write_run_report
from likewise.training import remeasure
from likewise.training.build import build_objective
from likewise.training.run import data_of
from likewise.training.train import resolve

from .captioned import write_captioned


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 little pictures of one colour in a table with two captions each."""
    return write_captioned(tmp_path_factory.mktemp("pictures"))


SMALL = {"encoder__widths": (4, 8), "text_encoder__width": 16, "text_encoder__heads": 2}


@pytest.fixture(scope="module")
def run(table: Path, tmp_path_factory: pytest.TempPathFactory) -> lw.Run:
    out = tmp_path_factory.mktemp("runs") / "mine"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIKEWISE_HOME", str(out.parent / "home"))
        return lw.train(
            "captions-clip", out, data=str(table), budget="smoke", quiet=True, epochs=6, learning_rate=5e-3,
            evaluation__queries=("something red",), text_encoder__max_tokens=5, projection="pca", **SMALL,
        )  # fmt: skip


def test_a_table_becomes_a_model_that_is_searched_in_words(run: lw.Run) -> None:
    names = [f"{way}_recall_at_{k}" for way in ("text_to_image", "image_to_text") for k in (1, 5, 10)]
    assert all(0 <= run.metrics[name] <= 1 and name in run.evaluation["intervals"] for name in names)
    assert run.metrics["text_to_image_recall_at_10"] > 0.5  # by chance: 10 of 24
    assert "zero_shot_accuracy" not in run.metrics
    assert "knn1_accuracy" not in run.metrics
    data = run.data().test
    found = run.model.embed_text(["a red thing"]) @ run.model.embed(data.images).T  # type: ignore[arg-type]
    assert data.captions is not None
    assert data.captions[int(found.argmax())][0] == "a red thing"


def test_the_records_say_what_stands_behind_the_numbers(run: lw.Run) -> None:
    records = pq.read_table(run.folder / "records" / "texts.parquet").to_pylist()
    assert len(records) == 48
    assert np.mean([row["rank"] == 1 for row in records]) == run.metrics["text_to_image_recall_at_1"]
    for row in records:
        assert (row["image"] == row["found"][0]) == (row["rank"] == 1)
    by_image = run.records()
    for way in ("text_to_image", "image_to_text"):
        for k in (1, 5, 10):
            name = f"{way}_recall_at_{k}"
            values = per_image(by_image, name)
            assert values is not None
            assert values.mean() == pytest.approx(run.metrics[name])
    [query] = pq.read_table(run.folder / "records" / "queries.parquet").to_pylist()
    assert query["caption"] == "something red"
    assert query["similarities"] == sorted(query["similarities"], reverse=True)


def test_the_report_shows_sentences_and_what_they_find(run: lw.Run) -> None:
    page = (run.folder / "report.html").read_text("utf-8")
    for name in ("text_search", "worst_texts", "similarity_matrix", "modalities"):
        assert (run.folder / "figures" / f"{name}.png").is_file()
    assert "something red" in page


def test_captions_that_were_cut_are_counted(run: lw.Run) -> None:
    assert run.evaluation["truncated_captions"] == {"train": 86, "validation": 10, "test": 24}
    assert any("120 captions are longer" in warning for warning in run.warnings)


@pytest.fixture(scope="module")
def as_drawn(table: Path, tmp_path_factory: pytest.TempPathFactory) -> EmbeddingModel:
    """The model of ``captions-clip`` before it learns."""
    small = {key.replace("__", "."): value for key, value in SMALL.items()}
    recipe = resolve("captions-clip", data=str(table), budget="smoke", overrides=small)
    return build_objective(recipe, data_of(recipe), tmp_path_factory.mktemp("drawn")).model


@pytest.mark.parametrize("freeze", ["encoder", "text_encoder", "both"])
def test_what_is_frozen_stays_as_it_was(freeze: str, as_drawn: EmbeddingModel, table: Path, tmp_path: Path) -> None:
    options = {"budget": "smoke", "quiet": True, "projection": "pca", "freeze": freeze, **SMALL}
    trained = lw.train("captions-clip", tmp_path / "run", data=str(table), epochs=1, **options).model
    assert as_drawn.text is not None
    assert trained.text is not None

    def same(first: object, second: object) -> bool:
        pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)  # type: ignore[attr-defined]
        return all(bool((a == b).all()) for a, b in pairs)

    assert same(as_drawn.encoder, trained.encoder) == (freeze in ("encoder", "both"))
    assert same(as_drawn.text.encoder, trained.text.encoder) == (freeze in ("text_encoder", "both"))
    assert not same(as_drawn.embedding, trained.embedding)
    assert not same(as_drawn.text.embedding, trained.text.embedding)


def test_class_names_as_captions_classify_without_training_on_labels(tmp_path: Path) -> None:
    run = lw.train(
        "captions-clip", tmp_path / "run", data="digits", budget="smoke", quiet=True, epochs=4, learning_rate=5e-3,
        projection="pca", caption_templates=("the digit {}", "a {}"), evaluation__templates=("a {}",), **SMALL,
    )  # fmt: skip
    assert set(run.evaluation["zero_shot"]["per_class_accuracy"]) == set("0123456789")
    assert run.metrics["zero_shot_accuracy"] > 0.3
    page = write_run_report(run).read_text(encoding="utf-8")
    assert "The class name whose text is nearest is the right one for" in page
    assert re.search(r"guessing names 10\.0.%", page)
    assert "finds its own image" not in page
    assert "done: zero-shot accuracy" in (run.folder / "log.txt").read_text(encoding="utf-8")


def test_images_without_captions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"digits has no captions.*caption_templates"):
        lw.train("captions-clip", tmp_path / "a", data="digits", budget="smoke", quiet=True)
    with pytest.raises(TrainingError, match="names no text encoder"):
        lw.train("digits-crossentropy", tmp_path / "b", data="shapes", budget="smoke", quiet=True, objective="clip")


def test_a_run_that_takes_the_whole_model_takes_its_text_tower(run: lw.Run, table: Path, tmp_path: Path) -> None:
    options = {
        "budget": "smoke",
        "quiet": True,
        "projection": "pca",
        "epochs": 0,
        "text_encoder__max_tokens": 5,
        **SMALL,
    }
    options |= {"start": str(run.folder), "start_take": "model"}
    taken = lw.train("captions-clip", tmp_path / "taken", data=str(table), **options)
    assert taken.model.embed_text(["a red thing"]) == pytest.approx(run.model.embed_text(["a red thing"]))
    assert (
        "weights of encoder and embedding and text.encoder and text.embedding" in (taken.folder / "log.txt").read_text()
    )
    other = lw.train("captions-clip", tmp_path / "other", data=str(table), **options | {"text_encoder__width": 32})
    assert "new weights for text.encoder and text.embedding" in (other.folder / "log.txt").read_text()


def test_ratings_of_the_runs_own_images_are_not_asked_of_others(run: lw.Run, table: Path, tmp_path: Path) -> None:
    shutil.copytree(run.folder, tmp_path / "run")
    asked = run.recipe.with_overrides({"evaluation.ratings": str(tmp_path / "gone.txt")})
    (tmp_path / "run" / "recipe.yaml").write_text(asked.to_yaml())
    metrics = remeasure(lw.Run.load(tmp_path / "run"), data=str(table))
    assert metrics["text_to_image_recall_at_1"] == pytest.approx(run.metrics["text_to_image_recall_at_1"])
