"""What each number of ``metrics.json`` is called, how it was measured, and how it is printed.

A new protocol adds one row here; a number without a row is still shown, under its own name. The command line prints
the same words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from likewise.report.wording import Unit, quantity

NEAREST = "Nearest neighbours"
RETRIEVAL = "Retrieval"
PROBE = "Probe and classifier"
DOWNSTREAM = "What the embedding is good for"
TEXT = "Images and text"
GEOMETRY = "Geometry of the space"
COST = "Cost"
VALIDATION = "Validation split (what choices were made on)"
OTHER = "Other numbers"
GROUPS = (NEAREST, RETRIEVAL, PROBE, DOWNSTREAM, TEXT, GEOMETRY, COST, VALIDATION, OTHER)


@dataclass(frozen=True)
class MetricWords:
    """One measure in words.

    Attributes:
        label: short name for tables.
        group: heading it stands under, one of ``GROUPS``.
        unit: how its value is printed; a share is printed in per cent.
        text: one or two sentences on the protocol.
    """

    label: str
    group: str
    unit: Unit
    text: str

    @property
    def short(self) -> str:
        """The label, with the split where it is not the test split."""
        return f"{self.label}, validation" if self.group == VALIDATION else self.label

    def format(self, value: float) -> str:
        """A value of this measure with its unit.

        Example:
            >>> describe_metric("knn1_accuracy").format(0.9213)
            '92.13 %'
        """
        return quantity(value, self.unit)


_TEXTS = {
    "knn1_accuracy": MetricWords(
        "1-NN accuracy", NEAREST, "share",
        "Each test image takes the class of the nearest training image (Euclidean distance); the share that is right.",
    ),
    "knn1_precision_macro": MetricWords(
        "1-NN precision, macro", NEAREST, "share",
        "Of the images called a class, the share that is of it; the mean over classes, each counting the same.",
    ),
    "knn1_recall_macro": MetricWords(
        "1-NN recall, macro", NEAREST, "share",
        "Of the images of a class, the share that is found; the mean over classes, each counting the same.",
    ),
    "knn1_f1_macro": MetricWords(
        "1-NN F1, macro", NEAREST, "share", "Harmonic mean of a class's precision and recall; the mean over classes."
    ),
    "knn200_accuracy": MetricWords(
        "200-NN accuracy", NEAREST, "share",
        "The 200 nearest training images vote, each weighted by exp(cosine similarity / 0.1).",
    ),
    "map_at_r": MetricWords(
        "MAP@R", RETRIEVAL, "share",
        "Test images searched among the other test images; R is how many have the query's class. Mean average precision "
        "over the R nearest: the whole class should come first. The strictest measure here.",
    ),
    "r_precision": MetricWords(
        "R-precision", RETRIEVAL, "share",
        "The same search: of the R nearest images, the share of the query's class; order does not matter.",
    ),
    "linear_probe_accuracy": MetricWords(
        "Linear probe accuracy", PROBE, "share",
        "A logistic regression on the frozen embeddings of the training images; its strength was chosen on validation.",
    ),
    "classifier_accuracy": MetricWords(
        "The classifier's own accuracy", PROBE, "share", "The largest of the network's own class scores."
    ),
    "zero_shot_accuracy": MetricWords(
        "Zero-shot accuracy", TEXT, "share", "Each image takes the class whose name, embedded as text, is nearest."
    ),
    "linear_probe_1_percent_accuracy": MetricWords(
        "Linear probe, 1 % of the labels", DOWNSTREAM, "share", "The probe fitted on 1 % of each class; mean of five draws."
    ),
    "linear_probe_10_percent_accuracy": MetricWords(
        "Linear probe, 10 % of the labels", DOWNSTREAM, "share", "The same with 10 % of each class."
    ),
    "clustering_nmi": MetricWords(
        "Clustering NMI", DOWNSTREAM, "number",
        "Normalised mutual information of the classes and as many clusters (spherical k-means on test); 0 to 1.",
    ),
    "clustering_ami": MetricWords(
        "Clustering AMI", DOWNSTREAM, "number", "The same less what chance gives: 0 is chance."
    ),
    "clustering_ari": MetricWords(
        "Clustering ARI", DOWNSTREAM, "number", "Adjusted Rand index of the same clusters, which counts pairs: 0 is chance."
    ),
    "clustering_accuracy": MetricWords(
        "Clustering accuracy", DOWNSTREAM, "share", "Test images whose cluster is matched with their class, one to one."
    ),
    "clustering_silhouette": MetricWords(
        "Silhouette", DOWNSTREAM, "number", "How much nearer a sample is to its own cluster than to the next; -1 to 1."
    ),
    "one_class_auroc": MetricWords(
        "One-class AUROC", DOWNSTREAM, "share",
        "Each class in turn normal, all others strange, by distance to the fifth neighbour; the mean over classes.",
    ),
    "one_class_aupr": MetricWords(
        "One-class average precision", DOWNSTREAM, "share", "The same search, with the strange images as the positives."
    ),
    "one_class_fpr_at_95": MetricWords(
        "One-class FPR at 95 %", DOWNSTREAM, "share",
        "Strange images that pass as normal where 95 % of the normal ones pass; lower is better.",
    ),
    "leaked_share": MetricWords(
        "Test images near a copy in train", DOWNSTREAM, "share",
        "Test images with a training image nearer than a tenth of the median distance to the nearest neighbour.",
    ),
    "suspected_labels_share": MetricWords(
        "Suspected labels", DOWNSTREAM, "share",
        "Test images whose neighbours speak for another class more clearly than for the label.",
    ),
    "planted_labels_recall": MetricWords(
        "Planted wrong labels found", DOWNSTREAM, "share", "Wrong labels planted in 5 % of the test split that are suspected."
    ),
    "planted_labels_precision": MetricWords(
        "Planted ones among the suspects", DOWNSTREAM, "share",
        "At the same threshold; labels that were wrong before count against it.",
    ),
    "planted_labels_auroc": MetricWords(
        "Planted wrong labels, AUROC", DOWNSTREAM, "share", "Chance that a planted wrong label looks more suspect than another."
    ),
    "zero_shot_calibration_error": MetricWords(
        "Zero-shot calibration error", TEXT, "share",
        "How far the probability of the nearest class is from being right as often as it says, over 15 bins; the temperature "
        "of the probabilities was chosen on validation.",
    ),
    "modality_gap": MetricWords(
        "Modality gap", TEXT, "number", "Distance between the mean image and the mean caption on the unit sphere (0 to 2)."
    ),
    "image_text_alignment": MetricWords(
        "Alignment of images and captions", TEXT, "number",
        "Mean squared distance between a caption and its image, both normalised (0 to 4); lower is closer.",
    ),
    "image_text_uniformity": MetricWords(
        "Uniformity across images and captions", TEXT, "number",
        "Log of the mean Gaussian potential over all pairs of an image and a caption; lower means spread more evenly.",
    ),
    "rating_spearman": MetricWords(
        "Agreement with human ratings", TEXT, "number",
        "Spearman's rank correlation of the cosine of an image and another image's caption with the mean rating that people "
        "gave the pair (-1 to 1); the interval resamples images.",
    ),
    "text_to_image_median_rank": MetricWords(
        "Text → image median rank", TEXT, "number", "The rank of a caption's own image, at the median of the captions."
    ),
    "image_to_text_median_rank": MetricWords(
        "Image → text median rank", TEXT, "number",
        "The rank of the best of an image's own captions, at the median of the images.",
    ),
    "alignment": MetricWords(
        "Alignment", GEOMETRY, "number",
        "Mean squared distance between normalised embeddings of one class; lower is tighter (0 to 4).",
    ),
    "uniformity": MetricWords(
        "Uniformity", GEOMETRY, "number",
        "Log of the mean Gaussian potential of normalised pairs; lower means spread more evenly, 0 means collapsed.",
    ),
    "effective_rank": MetricWords(
        "Effective rank", GEOMETRY, "dimensions",
        "Exponential of the entropy of the singular values: how many dimensions are really in use.",
    ),
    "spread": MetricWords(
        "Spread", GEOMETRY, "number",
        "Mean standard deviation of the normalised embeddings per dimension, times √D: 1 is even, 0 is collapsed.",
    ),
    "collapsed": MetricWords(
        "Collapsed", GEOMETRY, "yes or no",
        "Whether the collapse alarm rang after the last epoch: nearly all embeddings in one place.",
    ),
    "train_seconds": MetricWords("Training time", COST, "seconds", "Wall-clock time of the training loop."),
    "total_seconds": MetricWords(
        "Total time", COST, "seconds", "Wall-clock time of the run with loading and evaluation."
    ),
    "train_steps": MetricWords("Training steps", COST, "steps", "Steps of the training loop, all stages together."),
    "train_images": MetricWords(
        "Images passed in training", COST, "images", "Both images of a pair count; several views of one image do not."
    ),
    "images_per_second": MetricWords(
        "Training speed", COST, "images/s", "Images a second that the training loop went through."
    ),
    "peak_memory_mb": MetricWords("Peak memory", COST, "megabytes", "Largest memory of the process."),
}  # fmt: skip

_PATTERNS: tuple[tuple[re.Pattern[str], MetricWords], ...] = (
    (
        re.compile(r"class_recall_at_(\d+)"),
        MetricWords(
            "Class recall@{0}",
            NEAREST,
            "share",
            "The true class is among the {0} most probable of the neighbours' vote.",
        ),
    ),
    (
        re.compile(r"recall_at_(\d+)"),
        MetricWords(
            "Recall@{0}",
            RETRIEVAL,
            "share",
            "Test images searched among the other test images: one of the {0} nearest has the class.",
        ),
    ),
    (
        re.compile(r"text_to_image_recall_at_(\d+)"),
        MetricWords(
            "Text → image recall@{0}", TEXT, "share", "The caption's own image is among its {0} nearest images."
        ),
    ),
    (
        re.compile(r"image_to_text_recall_at_(\d+)"),
        MetricWords(
            "Image → text recall@{0}", TEXT, "share", "One of the image's own captions is among its {0} nearest."
        ),
    ),
    (
        re.compile(r"text_to_image_recall_at_1_(seen|unseen)"),
        MetricWords(
            "Text → image recall@1, {0} captions",
            TEXT,
            "share",
            "The same for those captions alone that are {0} word for word among the training captions.",
        ),
    ),
    (
        re.compile(r"image_to_text_recall_at_1_(seen|unseen)"),
        MetricWords(
            "Image → text recall@1, {0} captions",
            TEXT,
            "share",
            "The same for images with a caption that stands word for word among the training captions (seen), or without one.",
        ),
    ),
)


def describe_metric(name: str) -> MetricWords:
    """The words for a metric by its name in ``metrics.json``.

    Example:
        >>> describe_metric("recall_at_5").label, describe_metric("val_knn1_accuracy").label
        ('Recall@5', '1-NN accuracy')
        >>> describe_metric("val_knn1_accuracy").group, describe_metric("my_score").group
        ('Validation split (what choices were made on)', 'Other numbers')
    """
    if name.startswith("val_"):
        text = describe_metric(name.removeprefix("val_"))
        return MetricWords(text.label, VALIDATION, text.unit, "As above, on the validation split.")
    if name in _TEXTS:
        return _TEXTS[name]
    for pattern, text in _PATTERNS:
        if found := pattern.fullmatch(name):
            sentence = text.text.format(*found.groups()).replace("one of the 1 nearest has", "the nearest has")
            sentence = sentence.replace("among the 1 most probable", "the most probable")
            return MetricWords(text.label.format(*found.groups()), text.group, text.unit, sentence)
    unit: Unit = "share" if name.endswith("_accuracy") else "seconds" if name.endswith("_seconds") else "number"
    return MetricWords(name.replace("_", " "), OTHER, unit, "")


def metric_order(name: str) -> tuple[int, int, str, int]:
    """Sort key: groups as in ``GROUPS``, inside a group the order of the table above, then k.

    Example:
        >>> sorted(["train_seconds", "recall_at_10", "recall_at_5", "knn1_accuracy"], key=metric_order)
        ['knn1_accuracy', 'recall_at_5', 'recall_at_10', 'train_seconds']
    """
    bare = name.removeprefix("val_")
    known = list(_TEXTS)
    number = re.search(r"_at_(\d+)(_|$)", bare)
    place = known.index(bare) if bare in known else len(known)
    return (
        GROUPS.index(describe_metric(name).group),
        place,
        re.sub(r"\d+$", "", bare),
        int(number[1]) if number else 0,
    )
