"""A run as a Hugging Face folder: the same model, and a card that says what was measured."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

import likewise as lw
from likewise import verbs
from likewise.errors import RunError


@pytest.fixture(scope="module")
def folder(run: lw.Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return verbs.export(run.folder, tmp_path_factory.mktemp("out") / "digits-model").path


def test_the_model_is_the_same(run: lw.Run, folder: Path) -> None:
    images = lw.load_dataset("digits").images[:50]
    assert np.array_equal(lw.load_model(folder).embed(images), run.model.embed(images))
    files = {file.name for file in folder.iterdir()}
    assert files == {"README.md", "config.json", "model.safetensors", "recipe.yaml", "metrics.json", "evaluation.json"}
    assert [path.name for path in folder.parent.iterdir()] == ["digits-model"]
    assert json.loads((folder / "metrics.json").read_text()) == run.metrics


def test_the_card_says_what_was_measured(run: lw.Run, folder: Path) -> None:
    _, front, body = (folder / "README.md").read_text().split("---\n", 2)
    values = yaml.safe_load(front)
    assert values["library_name"] == "likewise"
    result = values["model-index"][0]["results"][0]
    assert {metric["type"]: metric["value"] for metric in result["metrics"]}["knn1_accuracy"] == pytest.approx(
        run.metrics["knn1_accuracy"], abs=1e-6
    )
    low, high = run.evaluation["intervals"]["knn1_accuracy"]
    row = next(line for line in body.splitlines() if line.startswith("| 1-NN accuracy"))
    assert f"{100 * run.metrics['knn1_accuracy']:.2f} %" in row
    assert f"{100 * low:.2f} to {100 * high:.2f} %" in row
    assert "Raw pixels" in body
    assert "# scikit-learn's digits by cross-entropy" in body
    assert 'lw.load_model("digits-model")' in body
    assert "8 × 8 pixels, grey" in body
    assert "- Classes: 0, 1, 2" in body
    assert all(line.count("|") == row.count("|") for line in body.splitlines() if "1-NN" in line and line[0] == "|")


def test_without_a_name_it_lies_beside_the_run(run: lw.Run, tmp_path: Path) -> None:
    here = tmp_path / "mine"
    shutil.copytree(run.folder, here)
    assert verbs.export(here).path == tmp_path / "mine-hf"
    assert (tmp_path / "mine-hf" / "README.md").is_file()
    with pytest.raises(RunError, match="is there already"):
        verbs.export(here)


def test_what_cannot_be_exported_is_said(run: lw.Run, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is there already"):
        verbs.export(run.folder, folder)
    with pytest.raises(RunError, match=r"--format tf is not known\. Expected hf"):
        verbs.export(run.folder, tmp_path / "out", format="tf")
    with pytest.raises(RunError, match="is not a run folder"):
        verbs.export(tmp_path, tmp_path / "out")
    assert not list(tmp_path.iterdir())
