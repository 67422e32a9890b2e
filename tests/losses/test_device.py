"""What losses promise of compilers and devices: nothing changes compiled, no tile makes the host wait, Metal has no float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from loss_cases import CASES, Case
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from likewise import losses
from likewise.losses import _checks

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


class Metal(TorchDispatchMode):
    """Refuses float64 on one type of device, as Metal does on its own."""

    def __init__(self, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.device = device
        monkeypatch.setattr(_checks, "_WITHOUT_FLOAT64", (device,))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(made):
            if isinstance(leaf, Tensor) and leaf.device.type == self.device and leaf.dtype == torch.float64:
                raise TypeError(f"{func} makes float64, which the device does not have")
        return made


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_a_device_without_float64(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    if case.loss in READ_ONCE or case.options.get("mining") in ("all", "semihard"):
        pytest.skip("reads how many positives there are, once")
    wanted = case.differentiable(case.inputs(20))
    for more in ({}, {"tile_size": 6}) if case.has("tile") else ({},):
        tensors = [
            torch.empty(t.shape, dtype=t.dtype, device="meta", requires_grad=w)
            for t, w in zip(case.inputs(20, dtype=torch.float32), wanted, strict=True)
        ]
        with Metal("meta", monkeypatch):
            case(*tensors, **more).backward()


@pytest.mark.parametrize("miner", losses.MINERS, ids=lambda m: m.name)
def test_miners_on_a_device_without_float64(miner: losses.Miner, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    x[1] = -x[0]  # across the sphere from one another
    with Metal("cpu", monkeypatch):
        found = miner(x, torch.arange(40) % 4)
    assert all(0 <= int(t.min()) <= int(t.max()) < 40 for t in found)
