"""Objectives: one file a method, each views, heads and a loss made into one training step."""

from likewise.objectives._label_loss import LossChoice, label_losses
from likewise.objectives._miner import MinerChoice
from likewise.objectives._named import named
from likewise.objectives._objective import Batch, Objective, ObjectiveOptions, find_objective, objective_names
from likewise.objectives._sampling import SamplerOptions, find_sampler
from likewise.objectives.clip import CLIP, CLIPOptions
from likewise.objectives.contrastive import Contrastive, ContrastiveOptions
from likewise.objectives.cross_entropy import CrossEntropy, CrossEntropyOptions
from likewise.objectives.metric import Metric, MetricOptions
from likewise.objectives.siamese import Siamese, SiameseOptions

__all__ = [
    "CLIP",
    "Batch",
    "CLIPOptions",
    "Contrastive",
    "ContrastiveOptions",
    "CrossEntropy",
    "CrossEntropyOptions",
    "LossChoice",
    "Metric",
    "MetricOptions",
    "MinerChoice",
    "Objective",
    "ObjectiveOptions",
    "SamplerOptions",
    "Siamese",
    "SiameseOptions",
    "find_objective",
    "find_sampler",
    "label_losses",
    "named",
    "objective_names",
]
