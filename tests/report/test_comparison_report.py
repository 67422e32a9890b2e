"""The page of a comparison: whole, half done, with one seed, and with failures."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_run_report import Page

from likewise.errors import RunError
from likewise.report.comparison_report import write_comparison_report
from likewise.report.comparison_view import ComparisonView

Make = Callable[..., Path]


def read(folder: Path) -> Page:
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def test_the_page_stands_alone_and_leads_to_the_runs(make_comparison: Make) -> None:
    folder = make_comparison()
    run = folder / "cells/fashion-siamese/train-all/seed-0"
    (run / "report.html").write_text("a run", encoding="utf-8")
    path = write_comparison_report(folder)
    assert path.stat().st_size < 3_000_000
    seen = read(folder)
    assert {"script", "link"}.isdisjoint(seen.tags)
    outside = [link for link in seen.asked if not link.startswith(("data:image/png;base64,", "#"))]
    assert outside == ["cells/fashion-siamese/train-all/seed-0/report.html"]
    assert {
        "accuracy",
        "sample_efficiency",
        "recall_at_k",
        "embeddings",
        "similarities",
        "training_time",
    } <= seen.anchors
    assert {path.stem for path in (folder / "figures").iterdir()} <= seen.anchors


@pytest.mark.usefixtures("without_drawing")
def test_the_page_holds_the_numbers_statements_and_failures(make_comparison: Make) -> None:
    folder = make_comparison()
    write_comparison_report(folder)
    seen = read(folder)
    words = seen.text.replace("\u00a0", " ")
    content = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
    for row in content["summary"]:
        if row["metric"] == "knn1_accuracy":
            assert f"{100 * row['mean']:.1f} %" in words
            assert f"{100 * row['low']:.1f} to {100 * row['high']:.1f}" in words
    for row in content["baselines"]:
        assert f"{100 * row['mean']:.1f} %" in words
    for statement in content["statements"]:
        assert statement in words
    assert "+3.1 points" in words
    assert "cross-entropy is higher" in words
    assert "−0.4 points" in words
    assert "no difference shown" in words
    assert words.count("Failed: ") == 2
    assert "the loss is not finite at step 12" in words
    assert words.count("✗ failed") == 2
    assert "1 of 27 runs is not finished" in words
    assert "The embeddings have collapsed. (2 of 24 runs" in words


@pytest.mark.usefixtures("without_drawing")
def test_the_page_states_the_search_and_what_it_chose(make_comparison: Make) -> None:
    def change(content: dict[str, Any]) -> None:
        search = {
            "condition": "all",
            "trials": 8,
            "failed": 1,
            "error": "TrainingError: nan.",
            "seed": 1000,
            "seconds": 95.0,
            "metric": "val_knn1_accuracy",
        }
        space = {"training.learning_rate": [6e-4, 0.015, "log"], "objective.loss.base": [0.2, 0.9, "linear"]}
        own = {"training.learning_rate": 0.003, "objective.loss.base": 0.5}
        chosen = {"training.learning_rate": 0.00123, "objective.loss.base": 0.61}
        done = {"recipe": "fashion-siamese", "own_value": 0.871, "chosen": chosen, "value": 0.8934}
        none = {"recipe": "fashion-contrastive", "own_value": None, "chosen": None, "value": None}
        content["trials"] = 8
        content["searches"] = [{**search, "space": space, "own": own, **found} for found in (done, none)]

    folder = make_comparison(change)
    write_comparison_report(folder)
    words = " ".join(read(folder).text.replace("\u00a0", " ").split())
    assert "8 trials, all with seed 1000" in words
    assert "learning rate 0.00123 (0.003; 0.0006 to 0.015, by factors)" in words
    assert "base 0.61 (0.5; 0.2 to 0.9)" in words
    assert "89.34 %" in words
    assert "87.10 %" in words
    assert "8, 1 failed" in words
    assert "TrainingError: nan." in words
    assert not re.search(r"\b(None|nan %)\b", words)


@pytest.mark.usefixtures("without_drawing")
def test_one_seed_without_intervals_says_so_and_invents_none(make_comparison: Make) -> None:
    def change(content: dict[str, Any]) -> None:
        for row in content["summary"] + content["differences"]:
            row |= {"low": None, "high": None, "n": 1, "supported": False, "interval": "none", "method": "none"}
        for row in content["recall_curves"]:
            row |= {"low": [None] * 10, "high": [None] * 10, "n": 1}

    folder = make_comparison(change)
    write_comparison_report(folder)
    words = read(folder).text
    assert "one measurement: cannot say" in words
    assert "is higher" not in words
    assert "One seed only, and no share of test images: no interval." in words
    assert not re.search(r"\b(None|nan)\b", words)


@pytest.mark.usefixtures("without_drawing")
def test_only_pending_cells_give_a_page_without_pictures(make_comparison: Make) -> None:
    def change(content: dict[str, Any]) -> None:
        for cell in content["cells"]:
            cell |= {"status": "pending", "metrics": {}, "seconds": None, "error": None, "warnings": []}
        for key in ("metrics", "summary", "differences", "recall_curves", "baselines", "statements", "answers"):
            content[key] = []
        for condition in content["conditions"]:
            condition["count"] = None
        content["data"] = {}

    folder = make_comparison(change)
    write_comparison_report(folder)
    seen = read(folder)
    assert seen.images == []
    assert "27 of 27 runs are not finished" in seen.text


@pytest.mark.usefixtures("without_drawing")
def test_one_training_size_has_no_efficiency_plot(make_comparison: Make) -> None:
    def change(content: dict[str, Any]) -> None:
        content["conditions"] = content["conditions"][-1:]
        for key in ("summary", "differences", "recall_curves", "baselines", "cells"):
            content[key] = [row for row in content[key] if row["condition"] == "all"]

    folder = make_comparison(change)
    write_comparison_report(folder)
    assert "sample_efficiency" not in read(folder).anchors
    assert "accuracy" in read(folder).anchors


@pytest.mark.usefixtures("without_drawing")
def test_a_run_that_is_gone_leaves_its_panel_out(make_comparison: Make, caplog: pytest.LogCaptureFixture) -> None:
    folder = make_comparison()
    (folder / "cells/fashion-siamese/train-all/seed-0/metrics.json").unlink()
    write_comparison_report(folder)
    assert "fashion-siamese is left out of the picture" in caplog.text
    alt = next(str(image["alt"]) for image in read(folder).images if "one per objective" in str(image["alt"]))
    assert "contrastive" in alt
    assert "siamese" not in alt


@pytest.mark.usefixtures("without_drawing")
def test_hostile_labels_are_texts(make_comparison: Make) -> None:
    def change(content: dict[str, Any]) -> None:
        content["recipes"][0]["label"] = "<script>alert(1)</script>"
        content["notes"] = ["<b>bold</b>"]

    folder = make_comparison(change)
    write_comparison_report(folder)
    assert {"script", "b"}.isdisjoint(read(folder).tags)
    assert "<b>bold</b>" in read(folder).text


def test_sample_efficiency_has_the_baselines_of_each_size(make_comparison: Make) -> None:
    lines, baselines = ComparisonView.load(make_comparison()).by_size("knn1_accuracy")
    assert [line.label for line in lines] == ["cross-entropy", "siamese", "contrastive"]
    assert [line.label for line in baselines] == ["raw pixels", "PCA to 10"]
    assert baselines[0].x == [100, 1000, 10000]
    assert baselines[0].mean == pytest.approx([0.69, 0.76, 0.83])


@pytest.mark.parametrize("text", [None, "not json", "{}"])
def test_a_folder_that_is_no_comparison_is_named(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "comparison.json").write_text(text, encoding="utf-8")
    with pytest.raises(RunError, match=r"comparison\.json"):
        write_comparison_report(tmp_path)
