"""Images from any source as one kind of object: an ``ImageDataset`` of uint8 pixels, labels, captions and ids."""

from likewise.data.cache import cache_home
from likewise.data.dataset import BadImage, ImageDataset
from likewise.data.load import available_splits, load_dataset
from likewise.data.planted import with_label_noise, with_unseen_classes
from likewise.data.registry import KNOWN_NAMES
from likewise.data.samplers import (
    ClassBalancedSampler,
    DistinctSampler,
    HierarchicalSampler,
    PairSampler,
    PKSampler,
    shuffled_batches,
)
from likewise.data.splits import LearnFrom, Splits, load_splits, stratified_order
from likewise.data.streamed import StreamedImages
from likewise.data.summary import DatasetSummary, SplitSummary, describe

__all__ = [
    "KNOWN_NAMES",
    "BadImage",
    "ClassBalancedSampler",
    "DatasetSummary",
    "DistinctSampler",
    "HierarchicalSampler",
    "ImageDataset",
    "LearnFrom",
    "PKSampler",
    "PairSampler",
    "SplitSummary",
    "Splits",
    "StreamedImages",
    "available_splits",
    "cache_home",
    "describe",
    "load_dataset",
    "load_splits",
    "shuffled_batches",
    "stratified_order",
    "with_label_noise",
    "with_unseen_classes",
]
