"""Products of patches are the convolution: results, gradients, names of weights; and they stand back where they do not pay."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from likewise.models.patch_convolution import Conv2d
from likewise.models.resnet import ResNet
from likewise.models.whitened_cnn import WhitenedCNN

LOW = torch.bfloat16
PATCHES = "_PatchConvolutionBackward"


def made_by(made: torch.Tensor) -> str:
    """Name of the operation that made a tensor."""
    return type(made.grad_fn).__name__


@pytest.mark.parametrize("side", [3, 4, 7])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(3, 1, 1), (3, 2, 1), (1, 1, 0), (1, 2, 0), ((3, 2), 1, (2, 0)), (2, (1, 2), 0)]
)
def test_result_and_gradients_are_those_of_the_convolution(side: int, kernel, stride, padding) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    conv = Conv2d(24, 40, kernel, stride, padding, bias=False)
    images = torch.randn(6, 24, side, side + 1).to(LOW).contiguous(memory_format=torch.channels_last)
    grid = images.clone().requires_grad_()
    with torch.autocast("cpu", LOW):
        made = conv(grid)
    assert made_by(made) == PATCHES
    assert made.dtype == LOW
    assert made.is_contiguous(memory_format=torch.channels_last)
    # The same numbers in double: what goes in is rounded to bfloat16, what comes out is, and nothing between.
    gradient = torch.randn_like(made)
    exact, weight = images.double().requires_grad_(), conv.weight.detach().to(LOW).double().requires_grad_()
    wanted = F.conv2d(exact, weight, None, stride, padding)
    made.backward(gradient)
    wanted.backward(gradient.double())
    for ours, theirs in ((made, wanted), (grid.grad, exact.grad), (conv.weight.grad, weight.grad)):
        assert ours is not None
        assert theirs is not None
        assert ours.shape == theirs.shape
        assert (ours.double() - theirs).norm() <= 2**-8 * theirs.norm()
        assert (ours.double() - theirs).abs().max() <= 2**-7 * theirs.abs().max()
    assert conv.weight.grad is not None
    assert conv.weight.grad.dtype == torch.float32


def test_everything_else_is_the_plain_convolution() -> None:
    conv = Conv2d(8, 8, 3, padding=1, bias=False)
    small, large = torch.randn(2, 8, 4, 4), torch.randn(2, 8, 20, 20)
    assert made_by(conv(small)) != PATCHES
    with torch.autocast("cpu", LOW):
        assert made_by(conv(small)) == PATCHES
        assert made_by(conv(large)) != PATCHES
        assert conv(small[:0]).shape == (0, 8, 4, 4)
        for other in (
            Conv2d(8, 8, 3, padding=1),
            Conv2d(8, 8, 3, groups=2, bias=False),
            Conv2d(8, 8, 3, dilation=2, bias=False),
        ):
            assert made_by(other(F.pad(small, (2, 2, 2, 2)))) != PATCHES
        same = Conv2d(8, 8, 3, padding="same", padding_mode="reflect", bias=False)
        assert made_by(same(small)) != PATCHES
        assert made_by(conv.eval()(small)) != PATCHES
        with torch.no_grad():
            assert made_by(conv.train()(small)) == "NoneType"
        assert made_by(conv.requires_grad_(False)(small.requires_grad_())) != PATCHES


@pytest.mark.parametrize("build", [lambda: WhitenedCNN(3, (8, 16)), lambda: ResNet(3, 18, "cifar", width=8)])
def test_a_network_trains_as_with_plain_convolutions(build) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    ours = build().train().to(memory_format=torch.channels_last)
    torch.manual_seed(0)
    plain = build().train().to(memory_format=torch.channels_last)
    for part in plain.modules():
        if type(part) is Conv2d:
            part.__class__ = nn.Conv2d
    assert all(torch.equal(a, b) for a, b in zip(ours.state_dict().values(), plain.state_dict().values(), strict=True))
    assert list(ours.state_dict()) == list(plain.state_dict())
    images = torch.randn(16, 3, 16, 16).contiguous(memory_format=torch.channels_last)
    gradients = []
    for net in (ours, plain):
        with torch.autocast("cpu", LOW):
            loss = net(images).float().square().mean()
        loss.backward()
        gradients.append(torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None]))
    assert (gradients[0] - gradients[1]).norm() <= 0.05 * gradients[1].norm()
