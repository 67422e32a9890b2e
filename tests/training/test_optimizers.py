from __future__ import annotations

import copy
import math

import pytest
import torch
from lightning_fabric.plugins.precision.amp import _optimizer_handles_unscaling
from torch import nn

from likewise.models import EmbeddingModel, InputSpec, ResNetOptions
from likewise.objectives.cross_entropy import CrossEntropyOptions
from likewise.recipe import TrainingOptions
from likewise.training.optimizers import LARS, build_optimizer, learning_rate_at, look_ahead


def test_lars_takes_the_papers_step() -> None:
    weight = nn.Parameter(torch.tensor([[3.0, 4.0]], dtype=torch.float64))
    bias = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = LARS([weight, bias], lr=0.5, momentum=0.9, weight_decay=0.1, trust_coefficient=0.01)
    velocity, expected = torch.zeros(1, 2, dtype=torch.float64), weight.detach().clone()
    bias_velocity, expected_bias = 0.0, 1.0
    for gradient in ([1.0, 0.0], [0.0, 2.0], [1.0, 1.0]):
        weight.grad = torch.tensor([gradient], dtype=torch.float64)
        bias.grad = torch.tensor([0.5], dtype=torch.float64)
        optimizer.step()
        g = torch.tensor([gradient], dtype=torch.float64)
        ratio = 0.01 * expected.norm() / (g.norm() + 0.1 * expected.norm())
        velocity = 0.9 * velocity + 0.5 * ratio * (g + 0.1 * expected)
        expected = expected - velocity
        bias_velocity = 0.9 * bias_velocity + 0.5 * 0.5
        expected_bias -= bias_velocity
    torch.testing.assert_close(weight.detach(), expected, rtol=1e-12, atol=0)
    assert bias.item() == pytest.approx(expected_bias, rel=1e-12)


def test_lars_leaves_zero_weights_and_zero_gradients_finite() -> None:
    weight = nn.Parameter(torch.zeros(2, 2))
    optimizer = LARS([weight], lr=0.1)
    weight.grad = torch.zeros(2, 2)
    optimizer.step()
    assert torch.equal(weight, torch.zeros(2, 2))


def test_biases_and_normalisation_are_left_out_of_weight_decay() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    optimizer = build_optimizer(TrainingOptions(weight_decay=0.1), module)
    decayed = {p for group in optimizer.param_groups if group["weight_decay"] for p in group["params"]}
    assert decayed == {module[0].weight}


def test_plain_sgd_is_torchs_own() -> None:
    """As SupContrast, MoCo and SimSiam train: ``torch.optim.SGD(parameters, lr, momentum, weight_decay)`` and nothing else."""
    options = {"optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 0.05}
    start = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    ours = {}
    for plain in (True, False):
        modules = [copy.deepcopy(start) for _ in range(2)]
        chosen = TrainingOptions(**options, nesterov=not plain, decay_biases=plain)
        optimizers = [
            build_optimizer(chosen, modules[0]),
            torch.optim.SGD(modules[1].parameters(), 0.1, momentum=0.9, weight_decay=0.05),
        ]
        for seed in range(3):
            images = torch.randn(4, 1, 5, 5, generator=torch.Generator().manual_seed(seed))
            for module, optimizer in zip(modules, optimizers, strict=True):
                optimizer.zero_grad()
                module(images).square().mean().backward()
                optimizer.step()
        ours[plain] = [p.detach() for p in modules[0].parameters()]
        same = [torch.allclose(p, q, rtol=1e-6) for p, q in zip(ours[plain], modules[1].parameters(), strict=True)]
        assert all(same) is plain


def test_lars_cannot_decay_biases() -> None:
    with pytest.raises(ValueError, match="decay_biases is true and optimizer is lars"):
        TrainingOptions(optimizer="lars", decay_biases=True)


def test_layers_close_to_the_pixels_learn_slowest() -> None:
    """Discriminative fine-tuning (Howard & Ruder 2018): the rate of a layer is that of the one behind it times a factor."""
    spec = InputSpec(channels=3, height=32, width=32, mean=(0.5,) * 3, std=(0.2,) * 3)
    model = EmbeddingModel(
        ResNetOptions(depth=18), spec, embedding_dim=8, class_names=("cat", "dog"), class_scores="linear"
    )
    objective = CrossEntropyOptions().build(model)
    optimizer = build_optimizer(TrainingOptions(encoder_rate=0.5, layer_decay=0.25), objective)
    rate = {id(p): group["lr_factor"] for group in optimizer.param_groups for p in group["params"]}
    encoder = model.encoder
    assert rate[id(encoder.get_parameter("layer4.1.conv1.weight"))] == 0.5
    assert rate[id(encoder.get_parameter("layer4.1.bn2.bias"))] == 0.5
    assert rate[id(encoder.get_parameter("layer4.0.downsample.0.weight"))] == 0.5 * 0.25
    assert rate[id(encoder.get_parameter("layer1.0.conv1.weight"))] == pytest.approx(0.5 * 0.25**7)
    assert rate[id(encoder.get_parameter("conv1.weight"))] == pytest.approx(0.5 * 0.25**8)
    assert {rate[id(p)] for n, p in objective.named_parameters() if not n.startswith("model.encoder.")} == {1.0}
    assert len(rate) == sum(p.requires_grad for p in objective.parameters())


@pytest.mark.parametrize("optimizer", ["sgd", "lars", "adamw"])
def test_lookahead_goes_half_of_the_way(optimizer: str) -> None:
    """Against the algorithm as the paper has it: slow weights, k fast steps, half of the way, on from there."""
    options = TrainingOptions(optimizer=optimizer, learning_rate=0.3, momentum=0.0)
    start, gradients = torch.randn(3, 4), torch.randn(9, 3, 4)
    module, plain = (nn.ParameterDict({"w": nn.Parameter(start.clone())}) for _ in range(2))
    ours, fast = build_optimizer(options, module), build_optimizer(options, plain)
    slow = None
    for step, gradient in enumerate(gradients, start=1):
        for each, its in ((module, ours), (plain, fast)):
            each["w"].grad = gradient.clone()
            its.step()
        if step % 3 == 0:
            look_ahead(ours)
            with torch.no_grad():
                slow = plain["w"].clone() if slow is None else slow + 0.5 * (plain["w"] - slow)
                plain["w"].copy_(slow)
    torch.testing.assert_close(module["w"], plain["w"])
    assert not torch.equal(module["w"], start)


def test_lookahead_leaves_alone_what_has_had_no_gradient() -> None:
    module = nn.ParameterDict({name: nn.Parameter(torch.ones(2, 2)) for name in ("used", "later")})
    optimizer = build_optimizer(TrainingOptions(optimizer="adamw"), module)
    for names in (["used"], ["used", "later"]):
        for name in names:
            module[name].grad = torch.ones(2, 2)
        optimizer.step()
        look_ahead(optimizer)
        optimizer.zero_grad()
    assert (module["later"] < 1).all()


def test_schedules() -> None:
    cosine = TrainingOptions(schedule="cosine", warmup=0.1, learning_rate=1.0)
    rates = [learning_rate_at(step, 100, cosine) for step in range(100)]
    assert rates[10] == max(rates) == 1.0
    assert rates[55] == pytest.approx(0.5 * (1 + math.cos(math.pi / 2)))
    assert 0 < rates[99] < 1e-3
    assert rates[:10] == sorted(rates[:10])
    one_cycle = TrainingOptions(schedule="one_cycle", warmup=0.5, learning_rate=2.0)
    rates = [learning_rate_at(step, 10, one_cycle) for step in range(10)]
    assert max(rates) == pytest.approx(2 * 5 / 6)
    assert all(rate > 0 for rate in rates)
    constant = TrainingOptions(schedule="constant", warmup=0.0, learning_rate=0.3)
    assert {learning_rate_at(step, 10, constant) for step in range(10)} == {0.3}


@pytest.mark.parametrize(("clip", "taken_off_in_the_step"), [(None, True), (1.0, False)])
def test_gradients_to_be_clipped_are_unscaled_before_the_step(clip: float | None, taken_off_in_the_step: bool) -> None:
    optimizer = build_optimizer(TrainingOptions(precision="16-mixed", gradient_clip=clip), nn.Linear(2, 2))
    assert _optimizer_handles_unscaling(optimizer) is taken_off_in_the_step
