"""Protocols that measure an embedding: pure functions of arrays, exact, in bounded memory, one file each."""

from likewise.evaluation.anomaly import AnomalyResult, anomaly, anomaly_scores, one_class_anomaly
from likewise.evaluation.baselines import baselines
from likewise.evaluation.class_recall import class_ranks, class_recall_at_k
from likewise.evaluation.classification import ClassificationScores, classification_scores
from likewise.evaluation.clustering import ClusteringResult, clustering
from likewise.evaluation.components import ComponentsResult, independent_components
from likewise.evaluation.downstream import downstream
from likewise.evaluation.duplicates import DuplicatesResult, duplicate_pairs, duplicates
from likewise.evaluation.embedded_split import EmbeddedSplit
from likewise.evaluation.few_labels import FewLabelsResult, few_labels
from likewise.evaluation.gallery import Gallery
from likewise.evaluation.geometry import GeometryResult, geometry
from likewise.evaluation.image_text import ImageTextResult, RankedQueries, image_text_retrieval
from likewise.evaluation.intervals import PairedDifference, clustered_wilson, mean_interval, paired_bootstrap, wilson
from likewise.evaluation.knn import KnnResult, knn, knn_vote
from likewise.evaluation.label_issues import (
    LabelIssuesResult,
    label_gaps,
    label_issues,
    label_issues_vote,
    rank_suspects,
)
from likewise.evaluation.linear_maps import LinearMap, Paired, cca_map, ridge_map
from likewise.evaluation.linear_probe import LinearProbeResult, linear_probe
from likewise.evaluation.linear_retrieval import LinearBaseline, cca_retrieval, chance_recall, ridge_retrieval
from likewise.evaluation.modalities import ModalityGeometry, modality_geometry
from likewise.evaluation.nearest import nearest
from likewise.evaluation.pair_similarities import PairSimilarities, pair_similarities
from likewise.evaluation.project import project
from likewise.evaluation.rating_agreement import RatingAgreement, rating_agreement
from likewise.evaluation.retrieval import RetrievalResult, retrieval
from likewise.evaluation.suite import Evaluation, evaluate
from likewise.evaluation.trustworthiness import trustworthiness
from likewise.evaluation.unlabeled import evaluate_unlabeled
from likewise.evaluation.unseen import evaluate_unseen, unseen_baselines
from likewise.evaluation.zero_shot import ZeroShotResult, calibration_error, fit_temperature, prompt_ensemble, zero_shot

__all__ = [
    "AnomalyResult",
    "ClassificationScores",
    "ClusteringResult",
    "ComponentsResult",
    "DuplicatesResult",
    "EmbeddedSplit",
    "Evaluation",
    "FewLabelsResult",
    "Gallery",
    "GeometryResult",
    "ImageTextResult",
    "KnnResult",
    "LabelIssuesResult",
    "LinearBaseline",
    "LinearMap",
    "LinearProbeResult",
    "ModalityGeometry",
    "PairSimilarities",
    "Paired",
    "PairedDifference",
    "RankedQueries",
    "RatingAgreement",
    "RetrievalResult",
    "ZeroShotResult",
    "anomaly",
    "anomaly_scores",
    "baselines",
    "calibration_error",
    "cca_map",
    "cca_retrieval",
    "chance_recall",
    "class_ranks",
    "class_recall_at_k",
    "classification_scores",
    "clustered_wilson",
    "clustering",
    "downstream",
    "duplicate_pairs",
    "duplicates",
    "evaluate",
    "evaluate_unlabeled",
    "evaluate_unseen",
    "few_labels",
    "fit_temperature",
    "geometry",
    "image_text_retrieval",
    "independent_components",
    "knn",
    "knn_vote",
    "label_gaps",
    "label_issues",
    "label_issues_vote",
    "linear_probe",
    "mean_interval",
    "modality_geometry",
    "nearest",
    "one_class_anomaly",
    "pair_similarities",
    "paired_bootstrap",
    "project",
    "prompt_ensemble",
    "rank_suspects",
    "rating_agreement",
    "retrieval",
    "ridge_map",
    "ridge_retrieval",
    "trustworthiness",
    "unseen_baselines",
    "wilson",
    "zero_shot",
]
