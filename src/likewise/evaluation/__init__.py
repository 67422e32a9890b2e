"""Protocols that measure an embedding: pure functions of arrays, exact, in bounded memory, one file each."""

from likewise.evaluation.baselines import baselines
from likewise.evaluation.class_recall import class_ranks, class_recall_at_k
from likewise.evaluation.classification import ClassificationScores, classification_scores
from likewise.evaluation.embedded_split import EmbeddedSplit
from likewise.evaluation.geometry import GeometryResult, geometry
from likewise.evaluation.intervals import PairedDifference, mean_interval, paired_bootstrap, wilson
from likewise.evaluation.knn import KnnResult, knn, knn_vote
from likewise.evaluation.linear_probe import LinearProbeResult, linear_probe
from likewise.evaluation.nearest import nearest
from likewise.evaluation.project import project
from likewise.evaluation.retrieval import RetrievalResult, retrieval
from likewise.evaluation.suite import Evaluation, evaluate
from likewise.evaluation.trustworthiness import trustworthiness
from likewise.evaluation.unlabeled import evaluate_unlabeled

__all__ = [
    "ClassificationScores",
    "EmbeddedSplit",
    "Evaluation",
    "GeometryResult",
    "KnnResult",
    "LinearProbeResult",
    "PairedDifference",
    "RetrievalResult",
    "baselines",
    "class_ranks",
    "class_recall_at_k",
    "classification_scores",
    "evaluate",
    "evaluate_unlabeled",
    "geometry",
    "knn",
    "knn_vote",
    "linear_probe",
    "mean_interval",
    "nearest",
    "paired_bootstrap",
    "project",
    "retrieval",
    "trustworthiness",
    "wilson",
]
