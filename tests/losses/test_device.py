"""What losses promise about compilers and devices: ``torch.compile`` changes nothing, and no tile makes the host wait."""

from __future__ import annotations

import pytest
import torch
from loss_cases import CASES, Case
from torch import Tensor

from likewise import losses

FIRST = list({c.loss: c for c in reversed(CASES)}.values())
# one whose mathematics is compiled, one with proxies, and one around which the rest is compiled
WITH_INDUCTOR = {losses.siamese_loss, losses.cosface_loss, losses.nt_xent_loss}
# what they need to know of the labels is one number, read once
READ_ONCE = {losses.angular_loss, losses.smooth_ap_loss}


def compiled_agrees(case: Case, backend: str) -> None:
    tensors = case.inputs(10, seed=9)
    wanted = case.differentiable(tensors)

    def step(*args: Tensor) -> Tensor:
        return case(*(1.5 * t if w else t for t, w in zip(args, wanted, strict=True)))

    torch.compiler.reset()
    found = []
    for function in (step, torch.compile(step, backend=backend)):
        leaves = [t.clone().requires_grad_(w) for t, w in zip(tensors, wanted, strict=True)]
        value = function(*leaves)
        found.append((float(value.detach()), torch.autograd.grad(value, [t for t in leaves if t.requires_grad])))
    (value, grads), (again, others) = found
    assert again == pytest.approx(value, rel=1e-12)
    for a, b in zip(grads, others, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{text}")
    for text in (
        # of torch 2.13 about its own doings: dynamo makes an instance of each autograd.Function that it traces, and looks
        # at .grad of what stands around a break; inductor imports what it calls deprecated
        ".*should not be instantiated:DeprecationWarning",
        "The .grad attribute of a Tensor that is not a leaf:UserWarning",
        ".*is deprecated:DeprecationWarning",
    )
]


@pytest.mark.parametrize("case", FIRST, ids=lambda c: c.id)
def test_compiled_agrees(case: Case) -> None:
    compiled_agrees(case, "aot_eager")


@pytest.mark.parametrize("case", [c for c in FIRST if c.loss in WITH_INDUCTOR], ids=lambda c: c.id)
def test_compiled_by_inductor_agrees(case: Case) -> None:
    compiled_agrees(case, "inductor")


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_nothing_is_read_back_from_a_device(case: Case) -> None:
    """Tensors that have no values, on a device that is not the host: whatever the host would have to wait for raises."""
    if case.loss in READ_ONCE or case.options.get("mining") in ("all", "semihard"):
        pytest.skip("reads how many positives there are, once")
    for more in ({}, {"tile_size": 6}) if case.has("tile") else ({},):
        tensors = [
            torch.empty(t.shape, dtype=t.dtype, device="meta", requires_grad=w)
            for t, w in zip(case.inputs(20), case.differentiable(case.inputs(20)), strict=True)
        ]
        value = case(*tensors, **more)
        value.backward()
        assert value.shape == ()
        assert [t.grad is not None for t in tensors] == case.differentiable(tensors)
