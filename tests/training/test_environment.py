"""What a run does with the machine it is on."""

from __future__ import annotations

import pytest
import torch

from likewise.training.environment import computes_bf16


def test_the_precision_of_a_run_on_the_cpu_is_that_of_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    of_the_cpu = computes_bf16("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: not of_the_cpu)
    assert computes_bf16("cpu") is of_the_cpu
    assert computes_bf16("auto") is computes_bf16("cuda") is not of_the_cpu
    assert computes_bf16("mps") is False
