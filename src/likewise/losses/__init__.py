"""Losses as pure functions on tensors, and each as a thin module with the same keyword arguments.

Every loss takes ``group=`` and then equals one process on the batch of all ranks, in value and gradient; those that
look at all pairs take ``tile_size=`` and never form the N × N matrix. ``TABLE`` lists them with equation and source.
``find_miner`` finds the miners by name; the losses that take ``tuples=`` are computed on what a miner returns.
"""

from likewise.losses._gather import combine as sum_over_ranks
from likewise.losses._gather import gather as gather_over_ranks
from likewise.losses._module import LossModule
from likewise.losses._row import Range, Row
from likewise.losses._table import TABLE
from likewise.losses._tuples import Pairs, Triplets
from likewise.losses.angular import AngularLoss, angular_loss
from likewise.losses.clip import (
    CLIPLoss,
    SigmoidLoss,
    clip_loss,
    sigmoid_loss,
)
from likewise.losses.geometry import (
    Alignment,
    Uniformity,
    alignment,
    effective_rank,
    uniformity,
)
from likewise.losses.grad_cache import GradCache
from likewise.losses.histogram import FastAPLoss, HistogramLoss, fast_ap_loss, histogram_loss
from likewise.losses.info_nce import (
    InfoNCELoss,
    MultipleNegativesRankingLoss,
    info_nce_loss,
    multiple_negatives_ranking_loss,
)
from likewise.losses.lifted import (
    GeneralizedLiftedStructureLoss,
    LiftedStructureLoss,
    TupletMarginLoss,
    generalized_lifted_structure_loss,
    lifted_structure_loss,
    tuplet_margin_loss,
)
from likewise.losses.margin import MarginLoss, margin_loss
from likewise.losses.miners import MINERS, MinedLoss, Miner, find_miner
from likewise.losses.n_pairs import (
    MulticlassNPairsLoss,
    NPairsEmbeddingLoss,
    NPairsLoss,
    multiclass_n_pairs_loss,
    n_pairs_embedding_loss,
    n_pairs_loss,
)
from likewise.losses.neighbours import (
    NCALoss,
    SoftNearestNeighborLoss,
    nca_loss,
    soft_nearest_neighbor_loss,
)
from likewise.losses.no_negatives import (
    BarlowTwinsLoss,
    DINOLoss,
    NegativeCosineLoss,
    SwAVLoss,
    VICRegLoss,
    barlow_twins_loss,
    dino_loss,
    negative_cosine_loss,
    sinkhorn,
    swav_loss,
    vicreg_loss,
)
from likewise.losses.nt_xent import (
    DecoupledContrastiveLoss,
    NTXentLoss,
    decoupled_contrastive_loss,
    nt_xent_decomposition,
    nt_xent_loss,
)
from likewise.losses.pair_miners import multi_similarity_pairs
from likewise.losses.pairs import (
    ContrastiveLoss,
    SiameseLoss,
    contrastive_loss,
    siamese_loss,
)
from likewise.losses.pml import PMLLoss
from likewise.losses.proxies import (
    ProxyAnchorLoss,
    ProxyNCALoss,
    ProxyNCAPlusPlusLoss,
    SoftTripleLoss,
    proxy_anchor_loss,
    proxy_nca_loss,
    proxy_nca_pp_loss,
    soft_triple_loss,
)
from likewise.losses.ranked_list import RankedListLoss, ranked_list_loss
from likewise.losses.signal_to_noise import SNRContrastiveLoss, snr_contrastive_loss
from likewise.losses.smooth_ap import SmoothAPLoss, smooth_ap_loss
from likewise.losses.softmax_classes import (
    ArcFaceLoss,
    CosFaceLoss,
    NormalizedSoftmaxLoss,
    SphereFaceLoss,
    SubcenterArcFaceLoss,
    arcface_loss,
    cosface_loss,
    normalized_softmax_loss,
    sphereface_loss,
    subcenter_arcface_loss,
)
from likewise.losses.supcon import (
    SupConLoss,
    supcon_loss,
)
from likewise.losses.triplet import (
    TripletLoss,
    triplet_loss,
)
from likewise.losses.triplet_miners import (
    all_triplets,
    distance_weighted_triplets,
    easy_positive_triplets,
    hard_triplets,
    semihard_triplets,
)
from likewise.losses.weighted import (
    CircleLoss,
    MultiSimilarityLoss,
    circle_loss,
    multi_similarity_loss,
)
from likewise.losses.wrappers import CrossBatchMemory, MatryoshkaLoss, WeightedSum

__all__ = [
    "MINERS",
    "TABLE",
    "Alignment",
    "AngularLoss",
    "ArcFaceLoss",
    "BarlowTwinsLoss",
    "CLIPLoss",
    "CircleLoss",
    "ContrastiveLoss",
    "CosFaceLoss",
    "CrossBatchMemory",
    "DINOLoss",
    "DecoupledContrastiveLoss",
    "FastAPLoss",
    "GeneralizedLiftedStructureLoss",
    "GradCache",
    "HistogramLoss",
    "InfoNCELoss",
    "LiftedStructureLoss",
    "LossModule",
    "MarginLoss",
    "MatryoshkaLoss",
    "MinedLoss",
    "Miner",
    "MultiSimilarityLoss",
    "MulticlassNPairsLoss",
    "MultipleNegativesRankingLoss",
    "NCALoss",
    "NPairsEmbeddingLoss",
    "NPairsLoss",
    "NTXentLoss",
    "NegativeCosineLoss",
    "NormalizedSoftmaxLoss",
    "PMLLoss",
    "Pairs",
    "ProxyAnchorLoss",
    "ProxyNCALoss",
    "ProxyNCAPlusPlusLoss",
    "Range",
    "RankedListLoss",
    "Row",
    "SNRContrastiveLoss",
    "SiameseLoss",
    "SigmoidLoss",
    "SmoothAPLoss",
    "SoftNearestNeighborLoss",
    "SoftTripleLoss",
    "SphereFaceLoss",
    "SubcenterArcFaceLoss",
    "SupConLoss",
    "SwAVLoss",
    "TripletLoss",
    "Triplets",
    "TupletMarginLoss",
    "Uniformity",
    "VICRegLoss",
    "WeightedSum",
    "alignment",
    "all_triplets",
    "angular_loss",
    "arcface_loss",
    "barlow_twins_loss",
    "circle_loss",
    "clip_loss",
    "contrastive_loss",
    "cosface_loss",
    "decoupled_contrastive_loss",
    "dino_loss",
    "distance_weighted_triplets",
    "easy_positive_triplets",
    "effective_rank",
    "fast_ap_loss",
    "find_miner",
    "gather_over_ranks",
    "generalized_lifted_structure_loss",
    "hard_triplets",
    "histogram_loss",
    "info_nce_loss",
    "lifted_structure_loss",
    "margin_loss",
    "multi_similarity_loss",
    "multi_similarity_pairs",
    "multiclass_n_pairs_loss",
    "multiple_negatives_ranking_loss",
    "n_pairs_embedding_loss",
    "n_pairs_loss",
    "nca_loss",
    "negative_cosine_loss",
    "normalized_softmax_loss",
    "nt_xent_decomposition",
    "nt_xent_loss",
    "proxy_anchor_loss",
    "proxy_nca_loss",
    "proxy_nca_pp_loss",
    "ranked_list_loss",
    "semihard_triplets",
    "siamese_loss",
    "sigmoid_loss",
    "sinkhorn",
    "smooth_ap_loss",
    "snr_contrastive_loss",
    "soft_nearest_neighbor_loss",
    "soft_triple_loss",
    "sphereface_loss",
    "subcenter_arcface_loss",
    "sum_over_ranks",
    "supcon_loss",
    "swav_loss",
    "triplet_loss",
    "tuplet_margin_loss",
    "uniformity",
    "vicreg_loss",
]
