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
from likewise.export.carried import write_carried


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


def test_where_things_lie_on_the_machine_is_not_carried(run: lw.Run, tmp_path: Path) -> None:
    here, place = tmp_path / "mine", "/home/anna lee/photos"
    shutil.copytree(run.folder, here)
    recipe = run.recipe.with_overrides({"data.source": place, "start": "/home/anna lee/runs/first"})
    (here / "recipe.yaml").write_text(recipe.to_yaml())
    said = {"source": place, "origin": f"folder {place}, captions of results.csv", "notes": ["as in /srv/anna/a.txt"]}
    bad = {"split": "train", "position": 3, "item": f"{place}/anna/3.png", "reason": "no image: '/srv/anna/3.png'"}
    (here / "evaluation.json").write_text(json.dumps(run.evaluation | said | {"bad_images": [bad]}))
    folder = verbs.export(here, tmp_path / "out").path
    for file in ("README.md", "recipe.yaml", "evaluation.json"):
        assert "anna" not in (folder / file).read_text(), file
    assert "- Source: photos (folder photos, captions of results.csv)" in (folder / "README.md").read_text()
    carried = yaml.safe_load((folder / "recipe.yaml").read_text())
    assert (carried["data"]["source"], carried["start"]) == ("photos", "first")
    (listed,) = json.loads((folder / "evaluation.json").read_text())["bad_images"]
    assert (listed["item"], listed["reason"]) == ("3.png", "no image: '3.png'")


def test_what_lies_on_the_hub_keeps_its_name(run: lw.Run, tmp_path: Path) -> None:
    here = tmp_path / "mine"
    shutil.copytree(run.folder, here)
    (here / "recipe.yaml").write_text(run.recipe.with_overrides({"data.source": "anna/photos"}).to_yaml())
    (here / "evaluation.json").write_text(json.dumps(run.evaluation | {"origin": "Hugging Face hub anna/photos"}))
    write_carried(lw.Run.load(here), tmp_path)
    assert yaml.safe_load((tmp_path / "recipe.yaml").read_text())["data"]["source"] == "anna/photos"
    assert json.loads((tmp_path / "evaluation.json").read_text())["origin"] == "Hugging Face hub anna/photos"
