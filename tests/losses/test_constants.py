"""Losses whose weights are constants by definition have no numerical gradient: they are compared with a dense form."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from loss_cases import CASES, Case

from likewise import losses


def cases(name: str) -> list[Case]:
    return [c for c in CASES if c.loss.__name__ == name]


def test_circle_gradient_holds_its_weights_constant() -> None:
    for case in cases("circle_loss"):
        x, y = case.inputs(12)
        m, gamma = case.options.get("margin", 0.4), case.options["gamma"]
        leaf, other = x.clone().requires_grad_(), x.clone().requires_grad_()
        case(leaf, y, tile_size=5).backward()
        s = F.normalize(other, dim=1) @ F.normalize(other, dim=1).T
        same = (y[:, None] == y[None, :]) & ~torch.eye(12, dtype=torch.bool)
        differ = y[:, None] != y[None, :]
        pull = -gamma * torch.relu(1 + m - s).detach() * (s - (1 - m))
        push = gamma * torch.relu(s + m).detach() * (s - m)
        total = pull.masked_fill(~same, -torch.inf).logsumexp(1) + push.masked_fill(~differ, -torch.inf).logsumexp(1)
        use = same.any(1) & differ.any(1)
        torch.logaddexp(total[use], torch.zeros(())).mean().backward()
        torch.testing.assert_close(leaf.grad, other.grad, rtol=1e-9, atol=1e-12)


def test_swav_gradient_holds_the_codes_constant() -> None:
    case = cases("swav_loss")[0]
    a, b = case.inputs(10)
    leaf, other = a.clone().requires_grad_(), a.clone().requires_grad_()
    case(leaf, b).backward()
    codes = losses.sinkhorn(b, epsilon=case.options["epsilon"])
    loss = -(codes * torch.log_softmax(other / case.options["temperature"], dim=1)).sum(1).mean() / 2
    loss.backward()
    torch.testing.assert_close(leaf.grad, other.grad, rtol=1e-9, atol=1e-12)


def test_ranked_list_gradient_holds_its_weights_constant() -> None:
    for case in cases("ranked_list_loss"):
        x, y = case.inputs(12)
        options = {"sharpness": 10.0, "positive_sharpness": 0.0, "balance": 0.5, **case.options}
        leaf, other = x.clone().requires_grad_(), x.clone().requires_grad_()
        case(leaf, y, tile_size=5).backward()
        off = ~torch.eye(12, dtype=torch.bool)
        d = torch.zeros(12, 12, dtype=torch.float64).masked_scatter(
            off, (other[:, None] - other[None])[off].norm(dim=1)
        )
        same = (y[:, None] == y[None, :]) & off
        total = torch.zeros((), dtype=torch.float64)
        for hinge, kind, sharpness, share in (
            (d - (options["alpha"] - options["margin"]), same, options["positive_sharpness"], 1 - options["balance"]),
            (options["alpha"] - d, y[:, None] != y[None, :], options["sharpness"], options["balance"]),
        ):
            active = kind & (hinge > 0)
            weight = (sharpness * hinge.detach()).exp() * active
            weight = weight / weight.sum(1, keepdim=True).clamp_min(1e-300)
            total = total + share * (weight * hinge).sum() / 12
        total.backward()
        torch.testing.assert_close(leaf.grad, other.grad, rtol=1e-9, atol=1e-12)
