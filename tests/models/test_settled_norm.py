"""Convolution and normalisation by settled statistics in one: the values and gradients of the two layers."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from likewise.models import EfficientNetLiteOptions
from likewise.models.settled_norm import normalized


def layers(dtype: torch.dtype = torch.float64) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(6, 6, 3, stride=2, padding=1, groups=3, bias=False), nn.BatchNorm2d(6, eps=1e-3)
    with torch.no_grad():
        for tensor in (norm.weight, norm.bias, norm.running_mean):
            tensor.normal_()
        norm.running_var.uniform_(0.01, 3)
    return conv.to(dtype), norm.to(dtype)


@pytest.mark.parametrize("training", [False, True])
def test_values_gradients_and_statistics_are_those_of_the_two_layers(training: bool) -> None:
    one, two = layers(), layers()
    grid = torch.randn(5, 6, 7, 9, dtype=torch.float64)
    grids = [grid.clone().requires_grad_() for _ in range(2)]
    for conv, norm in (one, two):
        conv.train(training)
        norm.train(training)
    out = normalized(*one, grids[0])
    expected = two[1](two[0](grids[1]))
    torch.testing.assert_close(out, expected)
    weights = torch.randn_like(expected)
    (out * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(grids[0].grad, grids[1].grad)
    for part in range(2):
        for mine, theirs in zip(one[part].parameters(), two[part].parameters(), strict=True):
            torch.testing.assert_close(mine.grad, theirs.grad)
    for mine, theirs in zip(one[1].buffers(), two[1].buffers(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_settled_network_runs_no_normalisation_and_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = EfficientNetLiteOptions(resolution=0).build(3, (40, 40))
    images = torch.randn(2, 3, 40, 40)
    for _ in range(2):
        network(images)  # statistics that are not those of the start
    plain = copy.deepcopy(network).eval()
    monkeypatch.setattr("likewise.models.settled_norm._traced", lambda: True)
    expected = plain(images)
    monkeypatch.undo()
    monkeypatch.setattr(nn.BatchNorm2d, "forward", None)
    torch.testing.assert_close(network.eval()(images), expected, rtol=1e-4, atol=1e-5)
