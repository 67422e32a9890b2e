"""A finished run on another source: its own difficulties stay at home, and no source overwrites another."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from likewise.errors import ModelError, RunError
from likewise.index import open_index
from likewise.training import Run, remeasure, train

from .test_resume import tiny


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("runs") / "noisy"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIKEWISE_HOME", str(out.parent / "home"))
        return train(
            tiny("cross_entropy", epochs=1), out, quiet=True, data__label_noise=0.4, data__train_size=60,
            data__validation=1, projection="pca",
        )  # fmt: skip


def write_folder(folder: Path, level: int) -> Path:
    draws = torch.Generator().manual_seed(level)
    for number in range(60):
        pixels = torch.randint(0, 120, (8, 8), generator=draws, dtype=torch.uint8).numpy() + level * (number % 2)
        path = folder / f"class {number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype("uint8")).save(path)
    return folder


def test_one_validation_image_is_no_collapse(run: Run) -> None:
    assert run.metrics["collapsed"] == 0.0
    assert "NaN" not in (run.folder / "metrics.jsonl").read_text()
    assert "val_spread" not in run.history[0]


def test_other_sources_keep_their_labels_and_their_folders(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (write_folder(tmp_path / name / "photos", level) for name, level in (("a", 60), ("b", 120)))
    for source in (first, second, first):
        remeasure(run, data=str(source))
    monkeypatch.chdir(second)
    remeasure(run, data=".")
    evaluations = run.folder / "evaluations"
    names = sorted(path.name for path in evaluations.iterdir())
    assert len(names) == 2
    assert names[0] == "photos"
    sources = [json.loads((evaluations / name / "source.json").read_text())["source"] for name in names]
    assert sources == [str(first.resolve()), str(second.resolve())]
    for name in names:
        notes = json.loads((evaluations / name / "evaluation.json").read_text())["notes"]
        assert not any("wrong on purpose" in note for note in notes)


def test_a_run_that_cannot_be_written_is_named(run: Run, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"'nowhere' cannot be used .*Expected auto, cpu"):
        remeasure(run, device="nowhere")
    shared = tmp_path / "shared"
    shutil.copytree(run.folder, shared)
    (shared / ".lock").unlink()
    (shared / ".lock").mkdir()  # as in a folder that may only be read, for one who may write everywhere too
    with pytest.raises(RunError, match=r"shared cannot be written \(Is a directory: .*lock\).* work in a copy of it"):
        remeasure(Run.load(shared))
    with pytest.raises(RunError, match=r"cannot be written .* `likewise index .*shared .* -o DIR`"):
        open_index(shared)
    (shared / ".lock").rmdir()
    shutil.rmtree(shared / "records")
    (shared / "records").write_text("in the way")
    with pytest.raises(RunError, match=r"shared cannot be written .*records"):
        remeasure(Run.load(shared))


def test_a_damaged_parquet_file_is_named(run: Run) -> None:
    for path, read in ((run.folder / "records" / "test.parquet", run.records),
                       (run.folder / "embeddings" / "test.parquet", run.embeddings)):  # fmt: skip
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(RunError, match=rf"{path.name} cannot be read .*likewise evaluate"):
            read()
        path.write_bytes(whole)
