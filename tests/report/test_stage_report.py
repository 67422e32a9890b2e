"""A run in stages shows what each of them did: the same test images after each stage, what is confused before and after."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from likewise.data import Splits
from likewise.report.figures.confusion import confusion_matrix
from likewise.report.run_report import write_run_report
from likewise.report.stage_pictures import stage_pictures
from likewise.report.stages import stage_rows, stages_of
from likewise.training.run import Run, read_embeddings, write_embeddings

Make = Callable[..., tuple[Run, Splits]]


@pytest.fixture
def staged(make_run: Make, digits: tuple[np.ndarray, np.ndarray]) -> Run:
    """Two stages before the run: two dimensions of PCA, then four, and eight in the end; 100 s of training in all."""
    images, labels = (values[:450] for values in digits)
    make_run = partial(make_run, images=images, labels=labels)
    run, _ = make_run(dimension=8, metrics={"train_seconds": 100.0})
    for name, dimension, seconds in (("pretrain", 2, 30.0), ("probe", 4, 25.0)):
        make_run(folder=f"run/stages/{name}", dimension=dimension, metrics={"train_seconds": seconds})
    values = run.recipe.model_dump() | {"before": [{"name": "pretrain"}, {"name": "probe"}]}
    (run.folder / "recipe.yaml").write_text(type(run.recipe).parse(values).to_yaml(), encoding="utf-8")
    return Run.load(run.folder)


def decisions(run: Run) -> tuple[np.ndarray, np.ndarray]:
    records = run.records()
    return records["label"].to_numpy(), records["knn1_prediction"].to_numpy()


def test_the_page_draws_the_space_after_each_stage_and_both_confusions(staged: Run) -> None:
    page = write_run_report(staged).read_text("utf-8")
    assert page.index('id="embedding"') < page.index('id="stage_spaces"') < page.index('id="stage_confusion"')
    assert {"stage_spaces.png", "stage_confusion.png"} <= {path.name for path in (staged.folder / "figures").iterdir()}
    for name in ("pretrain", "probe"):
        metrics = json.loads((staged.folder / "stages" / name / "metrics.json").read_text("utf-8"))
        assert f"1-NN {100 * metrics['knn1_accuracy']:.1f} % · {metrics['train_seconds']:.1f} s" in page
    assert "the end, PCA of 8-D" in page
    assert "· 45.0 s" in page, "what is left of the 100 s"


def test_every_panel_shows_the_same_test_images(staged: Run) -> None:
    spaces = stage_pictures(stages_of(staged))[0]
    assert spaces.draw is not None
    panels = spaces.draw.args[0]  # type: ignore[attr-defined]
    assert [panel.label for panel in panels] == ["pretrain", "probe", "the end"]
    for panel in panels[1:]:
        np.testing.assert_array_equal(panel.labels, panels[0].labels)
    kept = [staged.folder / "stages" / "probe", staged.folder]
    ids = [pq.read_table(folder / "embeddings" / "projection.parquet")["id"] for folder in kept]
    assert ids[0].equals(ids[1])


def test_confusions_are_of_the_first_stage_and_the_end_and_the_words_say_what_changed(staged: Run) -> None:
    picture = stage_pictures(stages_of(staged))[1]
    assert picture.draw is not None
    before, after = picture.draw.args[:2]  # type: ignore[attr-defined]
    first = Run.load(staged.folder / "stages" / "pretrain")
    for matrix, run in ((before, first), (after, staged)):
        np.testing.assert_array_equal(matrix.counts, confusion_matrix(*decisions(run), 10))
    assert (before.label, after.label) == ("after pretrain", "at the end")
    gained = 100 * (staged.metrics["knn1_accuracy"] - first.metrics["knn1_accuracy"])
    assert f"{gained:+.1f} points, 95 % interval +" in picture.caption
    assert "does not say" not in picture.caption
    shares = [np.diag(m.counts) / m.counts.sum(axis=1) for m in (before, after)]
    most = int(np.abs(shares[1] - shares[0]).argmax())
    assert f"excludes zero: digit {most} from {100 * shares[0][most]:.0f} % to" in picture.caption


def test_a_change_that_the_interval_does_not_support_is_not_claimed(staged: Run) -> None:
    first = staged.folder / "stages" / "pretrain" / "records"
    shutil.copy(staged.folder / "records" / "test.parquet", first / "test.parquet")
    caption = stage_pictures(stages_of(staged))[1].caption
    assert "+0.0 points, 95 % interval +0.0 to +0.0 over test images in pairs, which does not say" in caption
    assert "Most changed" not in caption


def test_a_stage_that_was_not_measured_on_the_same_images_has_no_panel(staged: Run) -> None:
    probe = staged.folder / "stages" / "probe"
    split = read_embeddings(probe, "test")
    write_embeddings(probe, "test", dataclasses.replace(split, ids=tuple(f"other/{name}" for name in split.ids)))
    (staged.folder / "stages" / "pretrain" / "records" / "test.parquet").unlink()
    records = staged.folder / "stages" / "probe" / "records" / "test.parquet"
    table = pq.read_table(records)
    other = pa.array([f"other/{name}" for name in table["id"].to_pylist()])
    pq.write_table(table.set_column(table.column_names.index("id"), "id", other), records)
    pictures = stage_pictures(stages_of(staged))
    assert [picture.name for picture in pictures] == ["stage_spaces"]
    assert [panel.label for panel in pictures[0].draw.args[0]] == ["pretrain", "the end"]  # type: ignore[union-attr]


def test_a_stage_whose_folder_is_gone_is_left_out(staged: Run, caplog: pytest.LogCaptureFixture) -> None:
    assert [row.seconds for row in stage_rows(stages_of(staged))] == ["30.0 s", "25.0 s", "45.0 s"]
    shutil.rmtree(staged.folder / "stages" / "pretrain")
    rows = stage_rows(stages_of(staged))
    assert [(row.name, row.seconds) for row in rows] == [("probe", "25.0 s"), ("the end", "")]
    assert "the stage pretrain is left out" in caplog.text
    shutil.rmtree(staged.folder / "stages")
    assert stage_pictures(stages_of(staged)) == []


def test_a_run_without_stages_has_neither_table_nor_pictures(make_run: Make) -> None:
    run, _ = make_run()
    assert stages_of(run) == []
    assert stage_pictures([]) == []
