"""The command line as a person meets it: what it prints where, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from command_line import Cli
from likewise.recipes import comparison_names, recipe_names


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from likewise import train

    folder = tmp_path_factory.mktemp("runs") / "digits"
    train("digits-crossentropy", folder, budget="smoke", quiet=True, data__validation=300, data__train_size=1000)
    return folder


def test_train_writes_the_whole_run_folder_and_prints_its_numbers(run_cli: Cli, tmp_path: Path) -> None:
    ended = run_cli("train", "digits-crossentropy", "--budget", "smoke", "--out", tmp_path / "run", "--json")
    assert ended.code == 0, ended.err
    document = ended.json()
    assert document["folder"] == str(tmp_path / "run")
    written = {str(path.relative_to(tmp_path / "run")) for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert {
        "recipe.yaml",
        "metrics.json",
        "metrics.jsonl",
        "environment.json",
        "model/model.safetensors",
        "model/config.json",
        "embeddings/train.parquet",
        "embeddings/validation.parquet",
        "embeddings/test.parquet",
        "records/test.parquet",
        "report.html",
        "log.txt",
    } <= written
    assert any(name.startswith("figures/") for name in written)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert document["metrics"] == metrics
    assert {
        *("knn1_accuracy", "knn1_precision_macro", "knn1_recall_macro", "knn1_f1_macro", "knn200_accuracy"),
        *(f"class_recall_at_{k}" for k in range(1, 6)),
        *("recall_at_1", "recall_at_5", "recall_at_10", "map_at_r", "r_precision", "linear_probe_accuracy"),
        *("classifier_accuracy", "alignment", "uniformity", "effective_rank", "train_seconds", "total_seconds"),
        *("images_per_second", "peak_memory_mb", "val_knn1_accuracy"),
    } <= metrics.keys()
    assert not {"zero_shot_accuracy", "text_to_image_recall_at_1"} & metrics.keys()
    assert metrics["knn1_accuracy"] > 0.8
    assert "epoch 5 of 5" in ended.err


def test_train_in_words(run_cli: Cli, tmp_path: Path) -> None:
    ended = run_cli("train", "digits-crossentropy", "--budget", "smoke", "--out", tmp_path / "run", "--set", "epochs=1")
    assert ended.code == 0, ended.err
    assert "knn1_accuracy" in ended.out
    assert f"report: {tmp_path / 'run' / 'report.html'}" in ended.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "fashion-siames"], "RecipeError: 'fashion-siames' is neither"),
        (["train", "digits-crossentropy", "--set", "epochs"], "--set 'epochs' has no value"),
        (["train", "digits-crossentropy", "--batch-size", "8"], "such as --set batch_size=VALUE"),
        (["compare", "digits-crossentropy", "--epochs=3"], "such as --set epochs=VALUE"),
        (["train", "digits-crossentropy", "--set", "epohcs=1"], "Near it: epochs"),
        (["train", "digits-crossentropy", "--set", "epochs=many"], "training.epochs"),
        (["train", "digits-crossentropy", "--budget", "huge"], "Expected smoke, laptop or paper"),
        (["train", "digits-crossentropy", "--resume"], "--out DIR"),
        (["train", "digits-crossentropy", "--data", "no/such/folder"], "DatasetError"),
        (["train", "digits-crossentropy", "--seed", "-1"], "seed"),
        (["compare", "digits-crossentropy", "--train-sizes", "ten"], "--train-sizes 'ten' cannot be read"),
        (["compare", "digits-crossentropy", "--trials", "-1"], "--trials is -1"),
        (["train", "digits-crossentropy", "--set", "objective=metric", "--set", "objective.loss=tripplet"], "triplet"),
        (["evaluate", "nowhere"], "nowhere is not a run folder"),
        (["report", "nowhere"], "neither a run nor a comparison"),
        (["recipes", "nothing"], "'nothing' is neither"),
        (["data", "no/such/folder"], "DatasetError"),
        (["train", "digits-crossentropy", "--on-bad-image", "ignore"], "'stop' or 'skip'"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(
    run_cli: Cli, arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = run_cli(*arguments)
    assert ended.code == 2
    assert message in ended.err
    assert "Traceback" not in ended.err
    assert ended.out == ""


def test_a_budget_that_a_gpu_chose_is_said(run_cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "budget paper, because there is a GPU"
    wrong = ["--set", "epohcs=1"]  # ends before anything is loaded
    (tmp_path / "mine.yaml").write_text(run_cli("recipes", "digits-crossentropy", "--budget", "smoke").out)
    assert said not in run_cli("train", "digits-crossentropy", *wrong).err
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for verb, recipe in (("train", "digits-crossentropy"), ("compare", "stl10-probe-three-ways")):
        assert said in run_cli(verb, recipe, *wrong).err
        assert said not in run_cli(verb, recipe, "--budget", "smoke", *wrong).err
        assert said not in run_cli(verb, tmp_path / "mine.yaml", *wrong).err


def test_resume_without_a_folder_names_the_runs_that_could_be_meant(
    run_cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = {"mine": "digits-crossentropy", "mine-2": "digits-crossentropy", "other": "digits-siamese"}
    for folder, name in names.items():
        (tmp_path / "runs" / folder).mkdir(parents=True)
        (tmp_path / "runs" / folder / "recipe.yaml").write_text(f"name: {name}\ntitle: digits\n")
    (tmp_path / "runs" / "mine" / "metrics.json").write_text("{}")
    ended = run_cli("train", "digits-crossentropy", "--resume")
    assert ended.code == 2
    assert ended.err.endswith("Pass --out DIR, such as runs/mine-2.\n")


def test_a_bug_of_ours_shows_its_traceback_and_exits_with_1(tmp_path: Path) -> None:
    code = "import likewise.verbs\nfrom likewise.cli import main\ndel likewise.verbs.train\nmain()"
    ended = subprocess.run(
        [sys.executable, "-c", code, "train", "digits-crossentropy"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert ended.returncode == 1
    assert "Traceback" in ended.stderr


def test_ctrl_c_saves_the_state_and_exits_with_130(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "likewise", "train", "digits-crossentropy", "--set", "epochs=2000"]
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path / "run")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 200  # on a machine that does much else
    lines = tmp_path / "run" / "metrics.jsonl"
    while time.monotonic() < deadline and not (lines.exists() and lines.read_text()):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "The state is saved" in err
    assert "--resume" in err
    assert "Traceback" not in err
    assert out == ""
    assert list((tmp_path / "run" / "checkpoints").iterdir())


def test_ctrl_c_with_nothing_to_save_is_said(run_cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(folder: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("likewise.verbs.report_on", stopped)
    ended = run_cli("report", tmp_path)
    assert (ended.code, ended.out, ended.err) == (130, "", "Interrupted.\n")


def test_recipes_lists_all_and_prints_one_whole(run_cli: Cli, tmp_path: Path) -> None:
    listed = run_cli("recipes")
    assert all(name in listed.out for name in recipe_names())
    listed = {recipe["name"]: recipe for recipe in run_cli("recipes", "--json").json()}
    assert set(listed) == {*recipe_names(), *comparison_names()}
    assert listed["stl10-probe-three-ways"]["recipes"] == ["stl10-autoencoder", "stl10-joint", "stl10-random"]
    text = run_cli("recipes", "fashion-siamese", "--budget", "paper").out
    assert "margin: 2.5" in text
    (tmp_path / "mine.yaml").write_text(text)
    assert run_cli("recipes", tmp_path / "mine.yaml").out == text


def test_data_says_what_a_source_holds(run_cli: Cli) -> None:
    ended = run_cli("data", "digits", "--json")
    assert ended.code == 0, ended.err
    assert "1797" in ended.out.replace(",", "")
    assert run_cli("data", "digits").code == 0


def test_evaluate_gives_the_runs_own_numbers_again(run_cli: Cli, run_folder: Path) -> None:
    before = json.loads((run_folder / "metrics.json").read_text())
    ended = run_cli("evaluate", run_folder, "--json")
    assert ended.code == 0, ended.err
    assert ended.json()["metrics"] == before
    assert json.loads((run_folder / "metrics.json").read_text()) == before


def test_evaluate_on_other_data_leaves_the_run_as_it_is(run_cli: Cli, run_folder: Path, tmp_path: Path) -> None:
    from PIL import Image

    from likewise import load_dataset

    digits = load_dataset("digits")
    for index in range(200):  # fewer than the validation images that the run asks for
        folder = tmp_path / "mine" / f"a {int(digits.labels[index])}"  # classes by other names, larger and in colour
        folder.mkdir(parents=True, exist_ok=True)
        large = (
            Image.fromarray(digits.images[index, 0].numpy()).convert("RGB").resize((16, 16), Image.Resampling.NEAREST)
        )
        large.save(folder / f"{index}.png")
    before = (run_folder / "metrics.json").read_bytes()
    ended = run_cli("evaluate", run_folder, "--data", tmp_path / "mine", "--json")
    assert ended.code == 0, ended.err
    assert ended.json()["metrics"]["knn1_accuracy"] > 0.5
    assert "classifier_accuracy" in json.loads((run_folder / "metrics.json").read_text())
    assert "classifier_accuracy" not in ended.json()["metrics"]
    assert (run_folder / "metrics.json").read_bytes() == before
    assert (run_folder / "evaluations" / "mine" / "metrics.json").exists()


def test_report_is_written_anew(run_cli: Cli, run_folder: Path) -> None:
    (run_folder / "report.html").unlink()
    ended = run_cli("report", run_folder)
    assert ended.code == 0, ended.err
    assert (run_folder / "report.html").stat().st_size < 3_000_000


def test_compare_prints_a_table_and_writes_one_report(
    run_cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("runs/comparison")
    (tmp_path / "pairs.yaml").write_text(
        "name: digits-siamese\ntitle: digits by pairs\nbudget: smoke\ndata: {source: digits, validation: 0.2}\n"
        "embedding_dim: 16\nobjective: {name: siamese, margin: 2.5}\ntraining: {epochs: 2, batch_size: 64}\n"
    )
    arguments = ["compare", "digits-crossentropy", tmp_path / "pairs.yaml", "--seeds", 2, "--train-sizes", "100,300"]
    arguments += ["--set", "projection=pca"]
    ended = run_cli(*arguments, "--budget", "smoke")
    assert ended.code == 0, ended.err
    assert "siamese" in ended.out
    assert "raw pixels" in ended.out
    assert "report: runs/comparison/report.html" in ended.out
    assert (folder / "report.html").stat().st_size < 3_000_000
    cells = sorted(folder.rglob("metrics.json"))
    assert len(cells) == 8
    written = [cell.stat().st_mtime_ns for cell in cells]
    again = run_cli(*arguments, "--budget", "smoke", "--json")
    assert again.code == 0, again.err
    assert [cell.stat().st_mtime_ns for cell in cells] == written
    assert again.json()["complete"] is True
    assert again.json()["folder"] == str(folder)


def test_any_loss_trains_by_name_from_the_command_line(run_cli: Cli, tmp_path: Path) -> None:
    sets = [
        *("--set", "objective.loss.margin=0.2", "--set", "objective=metric", "--set", "objective.loss=proxy_anchor"),
        *("--set", "loss_learning_rate=30", "--set", "objective.sampler=classes", "--set", "images_per_class=8"),
    ]
    ended = run_cli("train", "digits-crossentropy", "--budget", "smoke", *sets, "--out", tmp_path / "run", "--json")
    assert ended.code == 0, ended.err
    assert ended.json()["metrics"]["knn1_accuracy"] > 0.8
    assert "classifier_accuracy" not in ended.json()["metrics"]
    written = (tmp_path / "run" / "recipe.yaml").read_text()
    assert "margin: 0.2" in written
    assert "images_per_class: 8" in written
    assert "proxy-anchor" in (tmp_path / "run" / "report.html").read_text()


def test_compare_chooses_settings_on_validation(run_cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "comparison").mkdir(parents=True)
    (tmp_path / "supcon.yaml").write_text(
        "name: digits-supcon\ntitle: digits by SupCon\nbudget: smoke\ndata: {source: digits, validation: 0.2}\n"
        "embedding_dim: 16\nobjective: {name: metric, loss: supcon}\ntraining: {epochs: 2, batch_size: 64}\n"
    )
    out = Path("runs/comparison-2")  # what is in the first folder may be anybody's
    arguments = ["compare", "digits-crossentropy", tmp_path / "supcon.yaml", "--seeds", 1, "--trials", 2]
    arguments += ["--budget", "smoke", "--set", "epochs=1", "--set", "projection=pca"]
    ended = run_cli(*arguments)
    assert ended.code == 0, ended.err
    assert "chosen for supcon" in ended.out
    assert "2 trials" in ended.out
    assert "Settings chosen on validation" in (out / "report.html").read_text()
    trials = sorted(out.glob("search/*/train-all/trial-*/metrics.json"))
    assert len(trials) == 4
    written = [trial.stat().st_mtime_ns for trial in trials]
    again = run_cli(*arguments, "--json")
    assert again.code == 0, again.err
    assert [trial.stat().st_mtime_ns for trial in trials] == written
    searches = again.json()["searches"]
    assert [found["recipe"] for found in searches] == ["digits-crossentropy", "digits-supcon"]
    assert all(found["trials"] == 2 and found["value"] >= found["own_value"] for found in searches)
    assert set(searches[1]["chosen"]) == {"training.learning_rate", "objective.loss.temperature"}


def test_without_a_network_home_or_terminal_help_is_fast_and_complete() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "likewise", "--help"], capture_output=True, text=True, check=True, env={**os.environ}
    )
    for verb in ("train", "compare", "evaluate", "report", "recipes", "data"):
        assert verb in ended.stdout
    assert "..." not in ended.stdout.partition("Commands:")[2]  # each verb's line fits
