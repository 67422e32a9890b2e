"""Supervised contrastive learning on two views: the paper's loss on both views of a class, through its projection head."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from test_view_objectives import MILD, batch_of, pictures

from likewise import losses
from likewise.models import EmbeddingModel, InputSpec, SmallCNNOptions
from likewise.objectives import Batch, find_objective
from likewise.objectives.supcon_views import SupCon


def build(**options: object) -> SupCon:
    torch.manual_seed(0)
    spec = InputSpec(channels=3, height=13, width=13, mean=(0.5,) * 3, std=(0.3,) * 3)
    model = EmbeddingModel(SmallCNNOptions(widths=(4, 8, 16)), spec, embedding_dim=16)
    objective = find_objective("supcon_views")(views=MILD, **options).build(model)  # type: ignore[arg-type]
    assert isinstance(objective, SupCon)
    return objective


def labelled(seed: int = 0) -> Batch:
    return batch_of(24, seed)._replace(labels=torch.arange(24) % 4)


def test_its_value_is_the_papers_over_both_views() -> None:
    objective, images = build(temperature=0.2, output_width=8).eval(), pictures()
    with torch.no_grad():
        loss = objective(images, labelled())
        projections = F.normalize(objective.project(images, labelled()).double())
    labels = (torch.arange(24) % 4).repeat(2)
    total = 0.0
    for i in range(48):
        others = [k for k in range(48) if k != i]
        positives = [k for k in others if labels[k] == labels[i]]
        row = projections[i] @ projections[others].T / 0.2
        total -= sum(float(projections[i] @ projections[p] / 0.2 - row.logsumexp(0)) for p in positives) / len(
            positives
        )
    torch.testing.assert_close(loss.double(), torch.tensor(total / 48, dtype=torch.float64), rtol=1e-5, atol=1e-6)


def test_explaining_gives_the_loss_again_and_says_how_close_pairs_are() -> None:
    objective, images = build().eval(), pictures()
    with torch.no_grad():
        explained = objective.explain(images, labelled())
        torch.testing.assert_close(explained["loss"], objective(images, labelled()))
        first, second = objective.project(images, labelled()).chunk(2)
    torch.testing.assert_close(explained["pair_distance"], losses.alignment(F.normalize(first), F.normalize(second)))


def test_it_learns_to_tell_classes_apart() -> None:
    objective, images = build(), pictures()
    optimizer = torch.optim.Adam(objective.parameters(), lr=0.01)
    values = []
    for _ in range(30):
        loss = objective(images, labelled())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < values[0] - 0.3
