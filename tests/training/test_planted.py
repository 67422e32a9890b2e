"""Runs on planted difficulties: what can be measured is, and what cannot is absent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from likewise import report
from likewise.comparison import compare
from likewise.data import load_splits, with_unseen_classes
from likewise.errors import RecipeError
from likewise.evaluation import retrieval
from likewise.training import train

from .test_resume import tiny


def test_unseen_classes_are_measured_by_retrieval_beside_raw_pixels(tmp_path: Path) -> None:
    run = train(tiny("contrastive"), tmp_path / "run", quiet=True, data__unseen_classes=0.5)
    embedded = run.embeddings("test")
    assert run.metrics["map_at_r"] == retrieval(embedded.embeddings, embedded.labels, ks=()).map_at_r
    assert not [name for name in run.metrics if "knn" in name or "probe" in name or "classifier" in name]
    pixels = run.data().test.images.reshape(len(embedded), -1)
    raw = retrieval(pixels, embedded.labels, ks=(1,))
    assert run.evaluation["baselines"]["raw_pixels_recall_at_1"] == raw.recall[1]
    assert run.evaluation["class_names"] == list(run.data().test.class_names)
    assert any("5 of 10 classes are unseen" in warning for warning in run.warnings)
    page = report.write_run_report(run, run.data()).read_text("utf-8")
    assert "MAP@R" in page
    assert "5 of 10 classes are unseen" in page


def test_a_comparison_on_unseen_classes_answers_by_map_at_r(tmp_path: Path) -> None:
    recipes = [tiny(name, epochs=1) for name in ("cross_entropy", "contrastive")]
    result = compare(recipes, out=tmp_path / "c", seeds=2, overrides={"data.unseen_classes": 0.5}, quiet=True)
    assert [cell.status for cell in result.cells] == ["done"] * 4
    questions = {answer.question: answer.statements for answer in result.answers}
    assert any("MAP@R" in line for line in questions["Which objective finds unseen classes better?"])
    assert "Which objective gives the better 1-NN accuracy?" not in questions
    assert (report.write_comparison_report(tmp_path / "c")).is_file()


def test_noisy_labels_reach_training_and_gallery_but_not_the_test(tmp_path: Path) -> None:
    clean = train(tiny("cross_entropy"), tmp_path / "clean", quiet=True)
    noisy = train(tiny("cross_entropy"), tmp_path / "noisy", quiet=True, data__label_noise=0.5)
    wrong = clean.embeddings("train").labels != noisy.embeddings("train").labels
    assert wrong.mean() == 0.5
    np.testing.assert_array_equal(clean.embeddings("test").labels, noisy.embeddings("test").labels)
    assert noisy.metrics["knn1_accuracy"] < clean.metrics["knn1_accuracy"]
    assert noisy.evaluation["baselines"]["raw_pixels_knn1_accuracy"] < 0.7


def test_unlabelled_images_may_be_of_unseen_classes_and_are_refused_with_them() -> None:
    with pytest.raises(RecipeError, match=r"unseen_classes is 0.5 and learn_from is unlabeled.*learn_from=train"):
        tiny("rotation").with_overrides({"data.learn_from": "unlabeled", "data.unseen_classes": 0.5})
    splits = load_splits("digits", validation=100, train_size=300, unlabeled=True)
    assert splits.unlabeled is not None
    assert with_unseen_classes(splits, 0.5).unlabeled is None
