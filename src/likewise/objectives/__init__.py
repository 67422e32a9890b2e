"""Objectives: one file a method, each views, heads and a loss made into one training step."""

from likewise.objectives._objective import Batch, Objective, ObjectiveOptions, find_objective, objective_names
from likewise.objectives.contrastive import Contrastive, ContrastiveOptions
from likewise.objectives.cross_entropy import CrossEntropy, CrossEntropyOptions
from likewise.objectives.siamese import Siamese, SiameseOptions

__all__ = [
    "Batch",
    "Contrastive",
    "ContrastiveOptions",
    "CrossEntropy",
    "CrossEntropyOptions",
    "Objective",
    "ObjectiveOptions",
    "Siamese",
    "SiameseOptions",
    "find_objective",
    "objective_names",
]
