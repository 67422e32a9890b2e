"""What TensorBoard reads beside a run is what the run's own lines say."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from likewise.errors import TrainingError
from likewise.training import tensorboard, train

from .test_resume import tiny


def events(folder: Path) -> dict[tuple[str, int], float]:
    from tensorboardX.proto.event_pb2 import Event

    found = {}
    for file in sorted(folder.iterdir()):
        data = file.read_bytes()
        while data:  # length, its checksum, the event, its checksum
            (length,) = struct.unpack("<Q", data[:8])
            event = Event.FromString(data[12 : 12 + length])
            found |= {(value.tag, event.step): value.simple_value for value in event.summary.value}
            data = data[16 + length :]
    return found


def test_events_say_what_the_lines_of_the_run_say(tmp_path: Path) -> None:
    run = train(tiny("cross_entropy").with_overrides({"tensorboard": True, "epochs": 2}), tmp_path / "run", quiet=True)
    written = events(tmp_path / "run" / "tensorboard")
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert len(lines) == 2
    for line in lines:
        for name in ("epoch", "train_loss", "val_loss", "val_knn1_accuracy", "collapsed"):
            assert written[name, line["step"]] == pytest.approx(float(line[name]))
    assert run.recipe.training.tensorboard


def test_a_missing_package_is_named_before_anything_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorboard.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(TrainingError, match=r"tensorboardX is not installed.*likewise\[tensorboard\]"):
        train(tiny("cross_entropy").with_overrides({"tensorboard": True}), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run" / "checkpoints").exists()
