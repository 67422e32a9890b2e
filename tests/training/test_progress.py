"""What a run says of itself while it goes on."""

from __future__ import annotations

import pytest

from likewise.training import progress
from likewise.training.progress import StepProgress, log_epoch


@pytest.mark.parametrize(
    ("epochs", "seconds", "said"), [(300, 0.1, [1, 5, 10, 300]), (300, 60.0, [1, 2, 3, 300]), (5, 0.1, [1, 2, 3, 5])]
)
def test_of_many_short_epochs_some_are_said_and_of_long_ones_all(
    epochs: int, seconds: float, said: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "likewise")
    for epoch in range(1, epochs + 1):
        log_epoch({"epoch": epoch, "seconds": seconds * epoch, "train_loss": 1.0, "images_per_second": 9.0}, epochs)
    shown = [int(message.split()[1]) for message in caplog.messages]
    assert [*shown[:3], shown[-1]] == said
    assert len(shown) == len(set(shown))


def test_a_collapse_is_said_whenever_it_comes(caplog: pytest.LogCaptureFixture) -> None:
    line = {"epoch": 7, "seconds": 0.1, "train_loss": 1.0, "images_per_second": 9.0}
    log_epoch(line | {"collapsed": True, "collapse_reason": "rank 1"}, 300)
    assert "COLLAPSE after epoch 7: rank 1" in caplog.text


def test_what_is_left_of_a_budget_of_seconds_counts_training_alone(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO", "likewise")
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", -1.0)
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: False, raising=False)
    StepProgress("run", None, start=0, batch_size=1, seconds=60.0).advance(None, trained=20.0)
    assert "40 s left" in caplog.text
