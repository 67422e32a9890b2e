"""A run of exactly so many steps, images or seconds: it ends there, its schedule with it, and it is resumed right."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from likewise.errors import Interrupted, RecipeError
from likewise.training import train, trainer
from likewise.training.length import Length

from .test_resume import assert_same_run, tiny


@pytest.mark.parametrize(
    ("objective", "length", "steps", "images"),
    [
        ("cross_entropy", {"steps": 7}, 7, 350),
        ("cross_entropy", {"images": 999}, 19, 950),
        ("siamese", {"images": 1000}, 10, 1000),
        ("siamese", {"images": 30}, 1, 100),
    ],
)
def test_a_run_ends_at_exactly_its_step(
    objective: str, length: dict[str, int], steps: int, images: int, tmp_path: Path
) -> None:
    run = train(tiny(objective, **length), tmp_path / "run", quiet=True)
    assert (run.metrics["train_steps"], run.metrics["train_images"]) == (steps, images)
    assert run.history[-1]["step"] == steps
    assert len(run.history) == -(-steps // 12)
    peak = run.recipe.training.learning_rate
    assert run.history[-1]["learning_rate"] < peak / 2 or steps == 1  # one_cycle is at its end


def test_a_run_of_so_many_steps_is_resumed_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tiny("cross_entropy", steps=17)
    whole = train(recipe, tmp_path / "whole", quiet=True)
    seen = 0
    augment = trainer.augmented

    def counting(*args: object, **kwargs: object) -> object:
        nonlocal seen
        seen += 1
        if seen == 15:  # in the last epoch, of 5 steps
            os.kill(os.getpid(), signal.SIGTERM)
        return augment(*args, **kwargs)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "augmented", counting)
        with pytest.raises(Interrupted, match="SIGTERM after step 15 of 17"):
            train(recipe, tmp_path / "cut", quiet=True)
    assert_same_run(train(recipe, tmp_path / "cut", resume=True, quiet=True), whole)


class Clock:
    """Time as the loop sees it: a tenth of a second for each look."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.1
        return self.now


def test_a_run_of_so_many_seconds_ends_with_the_step_that_reaches_them_and_has_what_is_left_when_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny("cross_entropy", seconds=2.0)
    monkeypatch.setattr(trainer.time, "perf_counter", Clock())
    run = train(recipe, tmp_path / "run", quiet=True)
    assert 2.0 <= run.metrics["train_seconds"] < 2.5
    assert run.metrics["train_steps"] < 20
    rates = [line["learning_rate"] for line in run.history]
    assert rates[-1] < recipe.training.learning_rate / 10
    seen = 0
    augment = trainer.augmented

    def counting(*args: object, **kwargs: object) -> object:
        nonlocal seen
        seen += 1
        if seen == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return augment(*args, **kwargs)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "augmented", counting)
        with pytest.raises(Interrupted, match=r"SIGTERM after step 5, \d\.\d of 2 s"):
            train(recipe, tmp_path / "cut", quiet=True)
    resumed = train(recipe, tmp_path / "cut", resume=True, quiet=True)
    assert 2.0 <= resumed.metrics["train_seconds"] < 2.5
    assert abs(resumed.metrics["train_steps"] - run.metrics["train_steps"]) <= 3


def test_a_set_smaller_than_a_batch_is_seen_so_many_times() -> None:
    assert Length.of(tiny("cross_entropy", images=5000, batch_size=256), 100).steps == 50
    assert Length.of(tiny("siamese", images=5000, batch_size=256), 100).steps == 25


def test_a_run_has_one_length() -> None:
    with pytest.raises(RecipeError, match="steps and seconds are given, and a run has one length"):
        tiny("cross_entropy", steps=5, seconds=1.0)
    with pytest.raises(RecipeError, match=r"training\.seconds"):
        tiny("cross_entropy", seconds=0)


def test_the_stages_before_a_run_do_not_take_over_its_length() -> None:
    recipe = tiny("cross_entropy", steps=5).with_overrides(
        {"before": [{"name": "pretrain", "set": {"objective": "siamese", "training.epochs": 2}}]}
    )
    assert Length.of(recipe, 600).steps == 5
    assert Length.of(recipe.stage(0), 600).steps == 24
