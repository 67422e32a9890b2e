"""Objectives: one file a method, each views, heads and a loss made into one training step."""

from likewise.objectives._label_loss import LossChoice, label_losses
from likewise.objectives._miner import MinerChoice
from likewise.objectives._named import named
from likewise.objectives._objective import Batch, Objective, ObjectiveOptions, find_objective, objective_names
from likewise.objectives._sampling import SamplerOptions, find_sampler
from likewise.objectives.autoencoder import Autoencoder, AutoencoderOptions
from likewise.objectives.clip import CLIP, CLIPOptions
from likewise.objectives.colorization import Colorization, ColorizationOptions
from likewise.objectives.contrastive import Contrastive, ContrastiveOptions
from likewise.objectives.cross_entropy import CrossEntropy, CrossEntropyOptions
from likewise.objectives.denoising import Denoising, DenoisingOptions
from likewise.objectives.jigsaw import Jigsaw, JigsawOptions
from likewise.objectives.masked_reconstruction import MaskedReconstruction, MaskedReconstructionOptions
from likewise.objectives.metric import Metric, MetricOptions
from likewise.objectives.rotation import Rotation, RotationOptions
from likewise.objectives.siamese import Siamese, SiameseOptions
from likewise.objectives.super_resolution import SuperResolution, SuperResolutionOptions

__all__ = [
    "CLIP",
    "Autoencoder",
    "AutoencoderOptions",
    "Batch",
    "CLIPOptions",
    "Colorization",
    "ColorizationOptions",
    "Contrastive",
    "ContrastiveOptions",
    "CrossEntropy",
    "CrossEntropyOptions",
    "Denoising",
    "DenoisingOptions",
    "Jigsaw",
    "JigsawOptions",
    "LossChoice",
    "MaskedReconstruction",
    "MaskedReconstructionOptions",
    "Metric",
    "MetricOptions",
    "MinerChoice",
    "Objective",
    "ObjectiveOptions",
    "Rotation",
    "RotationOptions",
    "SamplerOptions",
    "Siamese",
    "SiameseOptions",
    "SuperResolution",
    "SuperResolutionOptions",
    "find_objective",
    "find_sampler",
    "label_losses",
    "named",
    "objective_names",
]
