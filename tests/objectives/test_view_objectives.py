"""Objectives that learn from views: each loss is that of its paper, the draws decide it, and what follows a step does so."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from likewise import losses
from likewise.data.draws import Draws
from likewise.data.views import ViewOptions
from likewise.models import EmbeddingModel, InputSpec, Normalize, SmallCNNOptions
from likewise.objectives import Batch, Objective, find_objective
from likewise.objectives._heads import MomentumCopy, mlp
from likewise.training.collapse import inspect_embeddings

# The published widths are made for ImageNet.
SMALL: dict[str, dict[str, Any]] = {
    "simclr": {},
    "moco_v2": {"queue": 64},
    "moco_v3": {},
    "byol": {},
    "simsiam": {},
    "barlow_twins": {},
    "vicreg": {},
    "swav": {"prototypes": 12, "freeze_prototypes": 0.0},
    "dino": {"outputs": 32, "hidden_width": 32, "bottleneck": 16, "freeze_last": 0.0},
}
MILD = ViewOptions(crop=(0.7, 1.0), jitter=0.0, grayscale=0.0, blur=0.0)
WITH_MOMENTUM = ("moco_v2", "moco_v3", "byol", "dino")


def build(name: str, channels: int = 3, side: int = 13, normalize: Normalize = "never", **options: Any) -> Any:
    torch.manual_seed(0)
    spec = InputSpec(channels=channels, height=side, width=side, mean=(0.5,) * channels, std=(0.3,) * channels)
    model = EmbeddingModel(SmallCNNOptions(widths=(4, 8, 16)), spec, embedding_dim=16, normalize=normalize)
    chosen = find_objective(name)(**SMALL[name] | options)  # type: ignore[arg-type]
    assert not chosen.needs_labels
    assert chosen.sees_images
    return chosen.build(model)


def pictures(count: int = 24, channels: int = 3, side: int = 13) -> Tensor:
    draws = torch.Generator().manual_seed(1)
    coarse = torch.rand(count, channels, 3, 3, generator=draws) * 255
    return F.interpolate(coarse, (side, side), mode="bilinear", align_corners=False).to(torch.uint8)


def batch_of(count: int, seed: int = 0) -> Batch:
    draws = Draws(torch.Generator().manual_seed(seed))
    return Batch(torch.arange(count), torch.full((count,), -1), draws=draws)


def train(objective: Objective, images: Tensor, steps: int, rate: float = 0.01) -> list[float]:
    optimizer = torch.optim.Adam((p for p in objective.parameters() if p.requires_grad), lr=rate)
    values = []
    for step in range(steps):
        loss = objective(images, batch_of(len(images), step))
        optimizer.zero_grad()
        loss.backward()
        objective.before_step()
        optimizer.step()
        objective.after_step((step + 1) / steps)
        values.append(loss.item())
    return values


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize(("channels", "side"), [(1, 12), (3, 13)])
def test_the_loss_falls(name: str, channels: int, side: int) -> None:
    """With the same views and targets in every step, which do not follow the network, it is a plain problem."""
    objective = build(name, channels, side, views=MILD, second_views=None)
    images = pictures(24, channels, side)
    optimizer = torch.optim.Adam((p for p in objective.parameters() if p.requires_grad), lr=0.01)
    values = []
    for _ in range(20):
        loss = objective(images, batch_of(24))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert torch.tensor(values).isfinite().all()
    assert values[-1] < values[0] - 0.05 * abs(values[0])


@pytest.mark.parametrize("name", SMALL)
def test_the_draws_decide_the_loss_and_explaining_gives_it_again(name: str) -> None:
    objective, images = build(name).eval(), pictures()
    with torch.no_grad():
        first, again, other = (objective(images, batch_of(24, seed)) for seed in (5, 5, 6))
        explained = objective.explain(images, batch_of(24, 5))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    torch.testing.assert_close(explained["loss"], first)
    assert {"loss", "pair_distance", "uniformity"} <= set(explained)
    assert all(value.shape == () and value.isfinite() for value in explained.values())


@pytest.mark.parametrize("name", SMALL)
def test_looking_changes_nothing(name: str) -> None:
    objective = build(name).eval()
    before = copy.deepcopy(objective.state_dict())
    with torch.inference_mode():
        objective.explain(pictures(), batch_of(24))
    after = objective.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize("name", SMALL)
def test_a_run_goes_on_from_its_state(name: str) -> None:
    options: dict[str, Any] = {"swav": {"freeze_prototypes": 0.5}, "dino": {"freeze_last": 0.5}}.get(name, {})
    images = pictures()
    one = build(name, **options)
    train(one, images, 3)
    two = build(name, **options)
    two.load_state_dict(one.state_dict())
    first, second = (objective(images, batch_of(24, 9)) for objective in (one, two))
    assert torch.equal(first, second)
    for objective, loss in ((one, first), (two, second)):
        loss.backward()
        objective.before_step()
        objective.after_step(0.4)
    for left, right in zip(one.parameters(), two.parameters(), strict=True):
        assert (left.grad is None) == (right.grad is None)
        assert torch.equal(left, right)
    assert all(torch.equal(one.state_dict()[key], two.state_dict()[key]) for key in one.state_dict())


@pytest.mark.parametrize("name", WITH_MOMENTUM)
def test_the_momentum_network_follows_and_learns_nothing_itself(name: str) -> None:
    objective = build(name, momentum=0.9)
    [momentum] = (part for part in objective.children() if isinstance(part, MomentumCopy))
    before = [p.clone() for p in momentum.parameters()]
    assert not any(p.requires_grad for p in momentum.parameters())
    train(objective, pictures(), 1)
    online = [p for module in (objective.model, _head(objective)) for p in module.parameters()]
    kept = 0.9 if name == "moco_v2" else 1.0  # the others' momentum is 1 at the end of a run
    for copied, old, new in zip(momentum.parameters(), before, online, strict=True):
        torch.testing.assert_close(copied, kept * old + (1 - kept) * new)


def _head(objective: Any) -> torch.nn.Module:
    head: torch.nn.Module = objective.projector if hasattr(objective, "projector") else objective.head
    return head


def test_simclr_is_nt_xent_and_its_parts() -> None:
    objective, images = build("simclr", temperature=0.2).eval(), pictures()
    first, second = objective.project(images, batch_of(24))
    rows = F.normalize(torch.cat([first, second]))
    scores = (rows @ rows.T / 0.2).fill_diagonal_(-torch.inf)
    plain = F.cross_entropy(scores, (torch.arange(48) + 24) % 48)
    torch.testing.assert_close(objective(images, batch_of(24)), plain)
    explained = objective.explain(images, batch_of(24))
    torch.testing.assert_close(explained["alignment"] + explained["distribution"], 0.2 * plain)
    torch.testing.assert_close(explained["alignment"], -F.cosine_similarity(first, second).mean())


def test_moco_v2_looks_for_the_key_in_the_queue() -> None:
    objective, images = build("moco_v2", temperature=0.3).eval(), pictures()
    loss, queries, keys, _ = objective._sides(images, batch_of(24))
    scores = torch.cat([(queries * keys).sum(1, keepdim=True), queries @ objective.queue.T], dim=1) / 0.3
    torch.testing.assert_close(loss, F.cross_entropy(scores, torch.zeros(24, dtype=torch.long)))
    first, second = objective.options.two_views(images, batch_of(24))
    torch.testing.assert_close(queries, F.normalize(objective.head(objective.model(first))))
    torch.testing.assert_close(keys, F.normalize(objective.keys(second)))


def test_mocos_head_is_linear_where_it_has_no_hidden_layer() -> None:
    for hidden, layers in ((None, ["Linear", "ReLU", "Linear"]), (0, ["Linear"])):
        head = build("moco_v2", hidden_width=hidden).head
        assert [type(layer).__name__ for layer in head] == layers


def test_moco_v2_compares_in_full_precision_under_autocast() -> None:
    objective, images = build("moco_v2", temperature=0.05).eval(), pictures()
    with torch.autocast("cpu", torch.bfloat16):
        loss, queries, keys, _ = objective._sides(images, batch_of(24))
    scores = torch.cat([(queries * keys).sum(1, keepdim=True), queries @ objective.queue.T], dim=1) / 0.05
    torch.testing.assert_close(loss, F.cross_entropy(scores, torch.zeros(24, dtype=torch.long)))


def test_moco_v2_replaces_the_oldest_keys() -> None:
    objective, images = build("moco_v2", queue=40), pictures()
    start = objective.queue.clone()
    seen = []
    for seed in range(2):
        objective(images, batch_of(24, seed))
        seen.append(objective._fresh.clone())
        objective.after_step(0.5)
    assert torch.equal(objective.queue[:8], seen[1][16:])
    assert torch.equal(objective.queue[8:24], seen[0][8:])
    assert torch.equal(objective.queue[24:], seen[1][:16])
    assert objective.oldest == 8
    assert not torch.equal(objective.queue, start)


def test_moco_v2_normalises_a_batch_in_parts() -> None:
    images = pictures(16)
    whole, parts = (build("moco_v2", batch_splits=splits) for splits in (1, 4))
    assert not torch.equal(whole(images, batch_of(16)), parts(images, batch_of(16)))
    views, _ = parts.options.two_views(images, batch_of(16))
    expected = torch.cat([parts.head(parts.model(views[i : i + 4])) for i in range(0, 16, 4)])
    queries = parts._sides(images, batch_of(16))[1]
    torch.testing.assert_close(queries, F.normalize(expected), atol=1e-5, rtol=1e-4)


def test_moco_v3_is_symmetric_info_nce() -> None:
    objective, images = build("moco_v3", temperature=0.5).eval(), pictures()
    views = objective.options.two_views(images, batch_of(24))
    q = [F.normalize(objective.predictor(objective.projector(objective.model(view)))) for view in views]
    k = [F.normalize(objective.keys(view)) for view in views]
    target = torch.arange(24)
    each = [F.cross_entropy(q[a] @ k[1 - a].T / 0.5, target) for a in (0, 1)]
    torch.testing.assert_close(objective(images, batch_of(24)), 2 * 0.5 * (each[0] + each[1]))


def test_byol_is_the_distance_of_directions() -> None:
    objective, images = build("byol").eval(), pictures()
    views = objective.options.two_views(images, batch_of(24))
    q = [F.normalize(objective.predictor(objective.projector(objective.model(view)))) for view in views]
    z = [F.normalize(objective.target(view)) for view in views]
    plain = sum((q[a] - z[1 - a]).pow(2).sum(1).mean() for a in (0, 1))
    torch.testing.assert_close(objective(images, batch_of(24)), plain)


@pytest.mark.parametrize("stop_gradient", [True, False])
def test_simsiam_stops_the_gradient_or_does_not(stop_gradient: bool) -> None:
    objective, images = build("simsiam", stop_gradient=stop_gradient).eval(), pictures()
    views = objective.options.two_views(images, batch_of(24))
    z = [objective.projector(objective.model(view)) for view in views]
    p = [objective.predictor(side) for side in z]
    targets = [side.detach() if stop_gradient else side for side in z]
    plain = -0.5 * sum(F.cosine_similarity(p[a], targets[1 - a]).mean() for a in (0, 1))
    loss = objective(images, batch_of(24))
    torch.testing.assert_close(loss, plain)
    weight = objective.model.embedding[0].weight
    torch.testing.assert_close(torch.autograd.grad(loss, weight)[0], torch.autograd.grad(plain, weight)[0])


@pytest.mark.parametrize(("stop_gradient", "steps"), [(False, 160), (True, 40)])
def test_without_the_stop_gradient_the_embedding_collapses_and_the_alarm_fires(stop_gradient: bool, steps: int) -> None:
    images = pictures(64)
    views = MILD.model_copy(update={"crop": (0.2, 1.0)})
    objective = build("simsiam", normalize="always", views=views, stop_gradient=stop_gradient, projector_layers=0)
    optimizer = torch.optim.SGD(objective.parameters(), lr=1.0, momentum=0.9)
    for step in range(steps):
        loss = objective(images, batch_of(64, step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    health = inspect_embeddings(torch.from_numpy(objective.model.embed(images)))
    assert health.collapsed == (not stop_gradient), health


def test_barlow_twins_and_vicreg_are_their_losses_term_by_term() -> None:
    images = pictures()
    barlow = build("barlow_twins", redundancy=0.02).eval()
    explained = barlow.explain(images, batch_of(24))
    plain = losses.barlow_twins_loss(*barlow.project(images, batch_of(24)), redundancy=0.02)
    torch.testing.assert_close(barlow(images, batch_of(24)), plain)
    torch.testing.assert_close(explained["invariance"] + 0.02 * explained["redundancy"], plain)
    vicreg = build("vicreg", invariance=3.0, variance=2.0, covariance=0.5).eval()
    explained = vicreg.explain(images, batch_of(24))
    plain = losses.vicreg_loss(*vicreg.project(images, batch_of(24)), invariance=3.0, variance=2.0, covariance=0.5)
    torch.testing.assert_close(vicreg(images, batch_of(24)), plain)
    terms = 3 * explained["invariance"] + 2 * explained["variance"] + 0.5 * explained["covariance"]
    torch.testing.assert_close(terms, plain)


def test_swav_with_two_views_is_swapped_prediction() -> None:
    objective, images = build("swav").eval(), pictures()
    views = objective.options.two_views(images, batch_of(24))
    scores = [F.normalize(objective.head(objective.model(view))) @ objective.prototypes.weight.T for view in views]
    torch.testing.assert_close(objective(images, batch_of(24)), losses.swav_loss(*scores))


def test_swavs_queue_is_assigned_together_with_the_batch_once_it_is_full() -> None:
    objective, plain = build("swav", queue=40, queue_from=0.0), build("swav")
    first, images = pictures(), pictures(24).flip(0)
    projections = []
    for done, seen in ((0.1, first), (0.2, images)):  # 24 and then 48 of 40
        torch.testing.assert_close(objective(seen, batch_of(24)), plain(seen, batch_of(24)))
        views = objective.options.two_views(seen, batch_of(24))
        projections.append(torch.stack([F.normalize(objective.head(objective.model(view))) for view in views]).detach())
        objective.after_step(done)
        plain.after_step(done)
    expected = torch.cat([projections[1][:, 16:], projections[0][:, 8:], projections[1][:, :16]], dim=1)
    torch.testing.assert_close(objective.earlier, expected)  # a ring: the newest 40, the oldest of them in the middle

    objective.options = objective.options.model_copy(update={"queue_from": 0.5})
    torch.testing.assert_close(objective(images, batch_of(24)), plain(images, batch_of(24)))
    objective.options = objective.options.model_copy(update={"queue_from": 0.0})
    views = objective.options.two_views(images, batch_of(24))
    weights = objective.prototypes.weight.detach()
    scores = [F.normalize(objective.head(objective.model(view))).detach() @ weights.T for view in views]
    total = 0.0
    for own, other in ((0, 1), (1, 0)):
        code = losses.sinkhorn(torch.cat([scores[own], objective.earlier[own] @ weights.T]), epsilon=0.05, iterations=3)
        total -= float((code[:24] * torch.log_softmax(scores[other] / 0.1, dim=1)).sum(dim=1).mean()) / 2
    assert float(objective(images, batch_of(24)).detach()) == pytest.approx(total, rel=1e-5)
    assert objective.eval()(images, batch_of(24)).isfinite()


def test_dino_with_two_views_is_both_directions() -> None:
    objective, images = build("dino").eval(), pictures()
    objective.center.normal_()
    views = objective.options.two_views(images, batch_of(24))
    student = [objective.head.scores(objective.head(objective.model(view))) for view in views]
    with torch.no_grad():
        teacher = [objective.teacher.copies[1].scores(objective.teacher(view)) for view in views]
    each = [losses.dino_loss(student[a], teacher[1 - a], objective.center) for a in (0, 1)]
    torch.testing.assert_close(objective(images, batch_of(24)), (each[0] + each[1]) / 2)


def test_dinos_center_follows_the_teachers_mean() -> None:
    objective, images = build("dino"), pictures()
    objective(images, batch_of(24))
    mean = objective._mean.clone()
    objective.after_step(0.5)
    torch.testing.assert_close(objective.center, 0.1 * mean)


@pytest.mark.parametrize(("name", "frozen"), [("swav", "prototypes.weight"), ("dino", "head.directions")])
def test_what_is_frozen_at_first_gets_no_gradient_at_first(name: str, frozen: str) -> None:
    objective, images = build(name, **{"freeze_prototypes" if name == "swav" else "freeze_last": 0.5}), pictures()
    for done, free in ((0.2, False), (0.6, False), (0.8, True)):
        objective.zero_grad(set_to_none=True)
        objective(images, batch_of(24)).backward()
        objective.before_step()
        assert (objective.get_parameter(frozen).grad is not None) == free
        objective.after_step(done)
    if name == "swav":
        norms = objective.prototypes.weight.norm(dim=1)
        torch.testing.assert_close(norms, torch.ones_like(norms))


@pytest.mark.parametrize("name", ["swav", "dino"])
def test_small_views_predict_and_are_not_predicted(name: str) -> None:
    small = ViewOptions(crop=(0.05, 0.4), size=8)
    objective, images = build(name, local_views=small, local_count=3), pictures()
    views = objective.options.all_views(images, batch_of(24))
    assert [view.shape[-1] for view in views] == [13, 13, 8, 8, 8]
    loss = objective(images, batch_of(24))
    loss.backward()
    assert loss.isfinite()


def test_a_head_is_laid_out_as_asked() -> None:
    head = mlp((4, 8, 8, 2), hidden_bias=False, last_bias=True, last=torch.nn.BatchNorm1d(2, affine=False))
    kinds = [type(layer).__name__ for layer in head]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU"] * 2 + ["Linear", "BatchNorm1d"]
    assert [layer.bias is not None for layer in head if isinstance(layer, torch.nn.Linear)] == [False, False, True]
