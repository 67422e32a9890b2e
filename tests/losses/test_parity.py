"""The same number as pytorch-metric-learning where both have a loss, with its settings spelled out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from likewise import losses

theirs = pytest.importorskip("pytorch_metric_learning.losses", reason="needs the extra 'benchmarks'")
distances = pytest.importorskip("pytorch_metric_learning.distances")
reducers = pytest.importorskip("pytorch_metric_learning.reducers")
miners = pytest.importorskip("pytorch_metric_learning.miners")

PLAIN = {"distance": distances.LpDistance(normalize_embeddings=False)}
MEAN = {"reducer": reducers.MeanReducer()}

CASES: dict[str, tuple[Callable[..., Tensor], Callable[[], Callable[..., Tensor]]]] = {
    "nt_xent": (
        lambda x, y: losses.nt_xent_loss(x[:10], x[10:], temperature=0.3),
        lambda: lambda x, y: theirs.NTXentLoss(temperature=0.3)(x, torch.arange(10).repeat(2)),
    ),
    "n_pairs": (
        lambda x, y: losses.multiclass_n_pairs_loss(x[:10], x[10:]),
        # their pairs are drawn, unless only one of each class is given
        lambda: (
            lambda x, y: theirs.NPairsLoss(distance=distances.DotProductSimilarity(normalize_embeddings=False))(
                x,
                torch.arange(10).repeat(2),
                (torch.arange(10), torch.arange(10, 20), torch.arange(10), torch.arange(10).roll(1)),
            )
        ),
    ),
    "lifted": (
        lambda x, y: losses.lifted_structure_loss(x, y, margin=1.5),
        lambda: theirs.LiftedStructureLoss(neg_margin=1.5, pos_margin=0, **PLAIN),
    ),
    "vicreg": (
        lambda x, y: losses.vicreg_loss(x[:10], x[10:]),
        lambda: lambda x, y: theirs.VICRegLoss()(x[:10], ref_emb=x[10:]),
    ),
    "supcon": (
        lambda x, y: losses.supcon_loss(x, y, temperature=0.2),
        lambda: theirs.SupConLoss(temperature=0.2),
    ),
    "multi_similarity": (
        lambda x, y: losses.multi_similarity_loss(x, y, alpha=2, beta=40, base=0.5),
        lambda: theirs.MultiSimilarityLoss(alpha=2, beta=40, base=0.5),
    ),
    "circle": (
        lambda x, y: losses.circle_loss(x, y, margin=0.4, gamma=8),
        lambda: theirs.CircleLoss(m=0.4, gamma=8),
    ),
    "generalized_lifted": (
        losses.generalized_lifted_structure_loss,
        lambda: theirs.GeneralizedLiftedStructureLoss(neg_margin=1, pos_margin=0, **PLAIN),
    ),
    "triplet_all": (
        lambda x, y: losses.triplet_loss(x, y, margin=0.5),
        lambda: theirs.TripletMarginLoss(margin=0.5, **PLAIN, **MEAN),
    ),
    "nca_log": (
        lambda x, y: losses.nca_loss(x, y, form="log", temperature=2.0),
        lambda: theirs.NCALoss(softmax_scale=0.5, distance=distances.LpDistance(normalize_embeddings=False, power=2)),
    ),
    "margin": (
        lambda x, y: losses.margin_loss(x, y, beta=2.0, tuples=losses.all_triplets(x, y)),
        lambda: theirs.MarginLoss(beta=2.0, **PLAIN),
    ),
    "snr": (
        lambda x, y: losses.snr_contrastive_loss(x, y, margin=2.0, reduction="sum"),
        lambda: theirs.SignalToNoiseRatioContrastiveLoss(
            neg_margin=2.0, reducer=reducers.SumReducer(), distance=distances.SNRDistance(normalize_embeddings=False)
        ),
    ),
    "angular": (
        lambda x, y: losses.angular_loss(x, y, alpha=40),
        # there anchors and positives are normalised and negatives are not
        lambda: lambda x, y: theirs.AngularLoss(alpha=40, **MEAN)(normalize(x), y),
    ),
    "histogram": (
        lambda x, y: losses.histogram_loss(x, y, bins=20),
        lambda: theirs.HistogramLoss(n_bins=20),
    ),
    "fast_ap": (
        lambda x, y: losses.fast_ap_loss(x, y, bins=12),
        lambda: theirs.FastAPLoss(num_bins=12, **MEAN),
    ),
    "multi_similarity_mined": (
        lambda x, y: losses.MinedLoss(losses.MultiSimilarityLoss(beta=40), "multi_similarity")(x, y),
        lambda: (
            lambda x, y: theirs.MultiSimilarityLoss(alpha=2, beta=40, base=0.5)(
                x, y, miners.MultiSimilarityMiner(epsilon=0.1)(x, y)
            )
        ),
    ),
    "triplet_batch_hard": (
        lambda x, y: losses.MinedLoss(losses.TripletLoss(margin=0.5), "hard")(x, y),
        lambda: (
            lambda x, y: theirs.TripletMarginLoss(margin=0.5, **PLAIN, **MEAN)(
                x, y, miners.BatchHardMiner(**PLAIN)(x, y)
            )
        ),
    ),
    "triplet_easy_positive": (
        lambda x, y: losses.MinedLoss(losses.TripletLoss(margin=0.5, distance="cosine"), "easy_positive")(x, y),
        lambda: (
            lambda x, y: theirs.TripletMarginLoss(margin=0.5, distance=distances.CosineSimilarity(), **MEAN)(
                x, y, miners.BatchEasyHardMiner(distance=distances.CosineSimilarity())(x, y)
            )
        ),
    ),
    "tuplet_margin": (
        lambda x, y: losses.tuplet_margin_loss(x, y, margin=0.1, scale=16),
        lambda: theirs.TupletMarginLoss(margin=0.1 * 180 / torch.pi, scale=16, **MEAN),
    ),
}

WITH_PROXIES: dict[str, tuple[Callable[..., Tensor], Callable[[], Callable[..., Tensor]]]] = {
    "arcface": (
        lambda x, y, p: losses.arcface_loss(x, y, p, margin=0.4, scale=16),
        lambda: theirs.ArcFaceLoss(4, 6, margin=0.4 * 180 / torch.pi, scale=16),
    ),
    "subcenter_arcface": (
        lambda x, y, p: losses.subcenter_arcface_loss(x, y, p, centers=2, margin=0.4, scale=16),
        lambda: theirs.SubCenterArcFaceLoss(
            num_classes=4, embedding_size=6, margin=0.4 * 180 / torch.pi, scale=16, sub_centers=2
        ),
    ),
    "sphereface": (
        lambda x, y, p: losses.sphereface_loss(x, y, p, margin=3),
        lambda: theirs.SphereFaceLoss(4, 6, margin=3, scale=1),
    ),
    "soft_triple": (
        lambda x, y, p: losses.soft_triple_loss(x, y, p, centers=2, scale=15, gamma=0.2, margin=0.05, regularization=0),
        lambda: theirs.SoftTripleLoss(4, 6, centers_per_class=2, la=15, gamma=0.2, margin=0.05),
    ),
    "cosface": (
        lambda x, y, p: losses.cosface_loss(x, y, p, margin=0.2, scale=16),
        lambda: theirs.CosFaceLoss(4, 6, margin=0.2, scale=16),
    ),
    "normalized_softmax": (
        lambda x, y, p: losses.normalized_softmax_loss(x, y, p, temperature=0.1),
        lambda: theirs.NormalizedSoftmaxLoss(4, 6, temperature=0.1),
    ),
    "proxy_nca_pp": (
        lambda x, y, p: losses.proxy_nca_pp_loss(x, y, p, temperature=0.5),
        lambda: theirs.ProxyNCALoss(4, 6, softmax_scale=2),
    ),
    "proxy_anchor": (
        lambda x, y, p: losses.proxy_anchor_loss(x, y, p, margin=0.1, alpha=8),
        lambda: theirs.ProxyAnchorLoss(4, 6, margin=0.1, alpha=8),
    ),
}


def batch() -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    return torch.randn(20, 6, generator=g, dtype=torch.float64), torch.arange(20) % 4


@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence:UserWarning")  # their histogram loss
@pytest.mark.parametrize("name", CASES)
def test_pairs_agree(name: str) -> None:
    ours, make = CASES[name]
    x, y = batch()
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    one, two = ours(a, y), make()(b, y)
    assert float(one.detach()) == pytest.approx(float(two.detach()), rel=1e-6)
    one.backward()
    two.backward()
    torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-7)


def test_ranked_list_agrees_in_value() -> None:
    """There the weights carry a gradient and 1e-5 is added to each of them."""
    x, y = batch()
    ours = losses.ranked_list_loss(x, y, alpha=2.5, margin=0.6, sharpness=1.0)
    right = theirs.RankedListLoss(margin=0.6, Tn=1.0, alpha=2.5, **PLAIN)(x, y)
    assert float(ours) == pytest.approx(float(right), rel=1e-3)


def test_smooth_ap_agrees_with_the_query_in_its_list() -> None:
    """There a batch must come sorted by class, with as many classes as each has rows (release 2.9 mixes the two up)."""
    x = batch()[0][:16]
    y = torch.arange(16) // 4
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    one = losses.smooth_ap_loss(a, y, temperature=0.1, include_query=True)
    two = theirs.SmoothAPLoss(temperature=0.1)(b, y)
    assert float(one.detach()) == pytest.approx(float(two.detach()), rel=1e-5)
    one.backward()
    two.backward()
    torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning")  # their SphereFace with NumPy 2
@pytest.mark.parametrize("name", WITH_PROXIES)
def test_proxies_agree(name: str) -> None:
    ours, make = WITH_PROXIES[name]
    x, y = batch()
    loss = make()
    weight = next(iter(loss.parameters()))
    proxies = weight.detach().double()
    proxies = proxies.T if len(proxies) == 6 else proxies
    loss.double()
    assert float(ours(x, y, proxies)) == pytest.approx(float(loss(x, y).detach()), rel=1e-6)
