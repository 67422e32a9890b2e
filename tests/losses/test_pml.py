"""Losses of pytorch-metric-learning by name."""

from __future__ import annotations

import inspect
import sys
from typing import Any

import pytest
import torch

from likewise import losses
from likewise.errors import LossInputError
from likewise.losses import PMLLoss

theirs = pytest.importorskip("pytorch_metric_learning.losses", reason="needs the extra 'pml'")
distances = pytest.importorskip("pytorch_metric_learning.distances")

NOT_OF_LABELS = {"BaseMetricLossFunction", "GenericPairLoss", "ManifoldLoss", "VICRegLoss"}
NAMES = sorted(
    name
    for name, kind in vars(theirs).items()
    if inspect.isclass(kind) and issubclass(kind, theirs.BaseMetricLossFunction) and name not in NOT_OF_LABELS
)


REQUIRED: dict[str, dict[str, Any]] = {
    "HistogramLoss": {"n_bins": 10},
    "RankedListLoss": {"margin": 0.4, "Tn": 1.0},
}


@pytest.mark.filterwarnings("ignore")  # theirs
@pytest.mark.parametrize("name", NAMES)
def test_every_loss_of_theirs_gives_a_gradient(name: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(12, 6, requires_grad=True)
    loss = PMLLoss(name, num_classes=3, embedding_dim=6, **REQUIRED.get(name, {}))(x, torch.arange(12) % 3)
    loss.backward()
    assert torch.isfinite(loss)
    assert x.grad is not None


def test_arguments_and_distances_are_passed_on_by_name() -> None:
    x, labels = torch.randn(20, 5, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 4
    mine = PMLLoss(
        "TripletMarginLoss",
        margin=0.5,
        distance={"name": "LpDistance", "normalize_embeddings": False},
        reducer="MeanReducer",
    )
    torch.testing.assert_close(mine(x, labels), losses.triplet_loss(x, labels, margin=0.5))
    given = theirs.TripletMarginLoss(margin=0.5, distance=distances.CosineSimilarity())
    assert PMLLoss("TripletMarginLoss", margin=0.5, distance="CosineSimilarity")(x, labels) == given(x, labels)


def test_sizes_reach_the_losses_with_learned_vectors() -> None:
    assert PMLLoss("ProxyAnchorLoss", num_classes=7, embedding_dim=5).loss.proxies.shape == (7, 5)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("TripletLoss", {}, r"no loss 'TripletLoss'.*It has AngularLoss.*Did you mean SoftTripleLoss"),
        ("VICRegLoss", {}, "for labelled embeddings"),
        ("TripletMarginLoss", {"margn": 1}, r"unknown argument 'margn'.*Expected: margin"),
        ("TripletMarginLoss", {"distance": "Cosine"}, r"no distance 'Cosine'.*CosineSimilarity"),
        ("TripletMarginLoss", {"distance": {"name": "LpDistance", "q": 1}}, r"LpDistance cannot be made.*'q'"),
        ("ProxyAnchorLoss", {}, r"cannot be made.*num_classes"),
    ],
)
def test_wrong_names_and_arguments_are_named(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(LossInputError, match=message):
        PMLLoss(name, **options)


def test_without_the_library_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytorch_metric_learning.losses", None)
    with pytest.raises(LossInputError, match=r"cannot be imported.*pip install likewise\[pml\]"):
        PMLLoss("SupConLoss")
