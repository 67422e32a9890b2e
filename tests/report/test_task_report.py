"""A run without labels shows its task; a run that was asked what its embedding is good for shows that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import likewise as lw
from likewise.errors import RunError
from likewise.report import write_run_report
from likewise.report.downstream_pictures import _anomaly
from likewise.report.figures.image_cards import Card, draw_image_cards
from likewise.report.figures.image_rows import draw_image_rows
from likewise.report.figures.share_rows import ShareRow, draw_share_rows
from likewise.report.figures.task_examples import draw_task_examples

PROTOCOLS = ["few_labels", "clustering", "anomaly", "components", "duplicates", "label_issues"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> lw.Run:
    folder = tmp_path_factory.mktemp("task") / "run"
    options = {"epochs": 2, "evaluation__protocols": PROTOCOLS, "evaluation__projection": "pca"}
    return lw.train("digits-autoencoder", folder, budget="smoke", quiet=True, **options)


def test_the_task_is_shown_on_test_images(run: lw.Run) -> None:
    examples = run.examples()
    assert list(examples) == ["input", "target", "prediction"]
    test = run.data().test.images
    assert examples["target"].shape == (10, *test.shape[1:])
    assert (examples["target"][0] == test[0].numpy()).all()
    assert (run.folder / "figures" / "task_examples.png").is_file()
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "What it was asked, and what it answered" in page
    assert "what the decoder draws from its embedding alone" in page


def test_what_the_embedding_is_good_for_is_drawn(run: lw.Run) -> None:
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    for name, title in {
        "few_labels": "With few labels",
        "clusters": "Clusters found without labels",
        "anomalies": "One class normal, all others strange",
        "components": "Independent components",
        "leaks": "Test images that train may hold too",
        "label_issues": "Labels that may be wrong",
    }.items():
        with Image.open(run.folder / "figures" / f"{name}.png") as picture:
            assert picture.width == 792
        assert title in page
    assert 0 < run.metrics["clustering_nmi"] <= 1
    assert 0.5 < run.metrics["one_class_auroc"] <= 1


def test_without_the_images_the_pictures_stay(run: lw.Run) -> None:
    before = (run.folder / "figures" / "components.png").read_bytes()
    write_run_report(run, None)
    assert (run.folder / "figures" / "components.png").read_bytes() == before


def test_damaged_examples_are_named(run: lw.Run, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    copy.mkdir()
    for file in run.folder.iterdir():
        if file.is_file():
            (copy / file.name).write_bytes(file.read_bytes())
    (copy / "examples.safetensors").write_bytes(b"no")
    with pytest.raises(RunError, match=r"examples\.safetensors cannot be read"):
        lw.Run.load(copy).examples()


def test_sheets_hold_any_number_and_any_size() -> None:
    images = np.random.default_rng(0).integers(0, 256, (9, 3, 40, 24), dtype=np.uint8)
    for count in (1, 3, 9):
        columns = dict.fromkeys(("input", "target", "prediction"), images[:count])
        assert draw_task_examples(columns).get_size_inches()[0] == pytest.approx(5.5, abs=0.01)
        assert draw_image_rows([("one", images[:count]), ("two", images[:1])], title="t").axes
    for cards in ([], [Card((images[0],), "x" * 40, "y" * 40)] * 7, [Card((images[0], images[1]), "a", "b")] * 5):
        assert draw_image_cards(cards, title="t").axes
    assert draw_share_rows([ShareRow("all alike", 0.5)], title="t", measure="m").axes


def test_a_run_on_unseen_classes_says_what_it_trained_on_and_what_it_could_not_measure(tmp_path: Path) -> None:
    run = lw.train(
        "digits-crossentropy", tmp_path / "run", budget="smoke", quiet=True, epochs=1, data__unseen_classes=0.4,
        evaluation__protocols=["clustering"], evaluation__projection="pca",
    )  # fmt: skip
    page = write_run_report(run, run.data()).read_text(encoding="utf-8")
    assert "in 6 classes" in page
    assert "the five test images whose embeddings are nearest" in page
    assert (run.folder / "figures" / "neighbors.png").is_file()
    assert "The most confident errors" not in page
    assert "Not drawn" not in page
    assert "The protocol clustering was not measured: training has not seen the test classes." in page


def test_of_many_classes_the_strangest_and_the_plainest_are_drawn() -> None:
    rows = [{"class": number, "auroc": 1 - number / 100} for number in range(80)]
    picture = _anomaly([f"class {number}" for number in range(80)], {"rows": rows})
    assert "Of 80 classes the 15 best and worst." in picture.caption
    assert "from class 0 100.0 % to class 79 21.0 %" in picture.alt
