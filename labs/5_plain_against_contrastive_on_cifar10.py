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
# 3. What is a good start worth when there are few labels?
#
# It runs as a script or opens in Jupyter. `LIKEWISE_BUDGET` is `smoke`, `laptop` (default: a small network made for two cores,
# some minutes a run) or `paper` (the course sheet's: ResNet-50, 50 epochs a stage). `LIKEWISE_LAB_CIFAR10` may name the folder
# of the archive or any other source of small colour images with labels.

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

import likewise as lw
from likewise.errors import DatasetError
from likewise.losses import n_pairs_loss
from likewise.recipes import load_recipe

BUDGET = os.environ.get("LIKEWISE_BUDGET", "laptop")
SOURCE = os.environ.get("LIKEWISE_LAB_CIFAR10", "cifar10")
SEEDS = {"smoke": 1, "laptop": 3, "paper": 3}[BUDGET]
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
# classifier on frozen features) is added to its seconds, not hidden. Every cell is a run with its stages in `stages/`.

# %%
RECIPES = ["cifar10-resnet50-crossentropy", "cifar10-resnet50-npairs", "cifar10-resnet50-npairs-finetune"]
SHORT = {name: name.removeprefix("cifar10-resnet50-") for name in RECIPES}
result = lw.compare(RECIPES, out=OUT / "all", seeds=SEEDS, data=SOURCE, budget=BUDGET, overrides=SMALL)
runs = {name: [lw.Run.load(result.folder / cell.folder) for cell in result.done(name)] for name in RECIPES}

# %% [markdown]
# ## 1 and 2. Plain, contrastive, fine-tuned
#
# `classifier` is the run's own classifier on the test images, `1-NN` and `linear probe` measure the embedding. Seconds are
# those of training, all stages together.

# %%
COLUMNS = {"classifier_accuracy": "classifier", "knn1_accuracy": "1-NN", "linear_probe_accuracy": "linear probe"}
print(f"{'':18}" + "".join(f"{title:>24}" for title in COLUMNS.values()) + f"{'seconds':>10}")
for name in RECIPES:
    rows = {row.metric: row for row in result.summary if row.recipe == name}
    cells = [
        f"{rows[key].mean:.1%}"
        + (f" ({rows[key].low:.1%} to {rows[key].high:.1%})" if rows[key].low is not None else "")
        for key in COLUMNS
    ]
    print(f"{SHORT[name]:18}" + "".join(f"{cell:>24}" for cell in cells) + f"{rows['train_seconds'].mean:>10.0f}")
for name, value in runs[RECIPES[0]][0].evaluation["baselines"].items():
    print(f"{name}: {value:.1%}, without any training")

# %% [markdown]
# Stage by stage, the accuracy of a linear probe on the features as they are after it:

# %%
figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
for name in RECIPES:
    run = runs[name][0]
    stages = [lw.Run.load(run.folder / "stages" / stage.name) for stage in run.recipe.before]
    names = [stage.name for stage in run.recipe.before] + ["end"]
    values = [each.metrics["linear_probe_accuracy"] for each in (*stages, run)]
    axis.plot(names if stages else ["end"], [100 * value for value in values], marker="o", label=SHORT[name])
    print(f"{SHORT[name]:18}", {stage: round(value, 4) for stage, value in zip(names, values, strict=True)})
axis.set(ylabel="linear probe on test (%)", xlabel="stage")
axis.grid(alpha=0.3)
axis.legend()
figure.savefig(OUT / "stages.png", dpi=120)
plt.show()

# %% [markdown]
# What the three spaces look like, test images by t-SNE:

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
# The encoder that plain training left behind is taken as the start for a classifier on a hundredth of the labels, frozen and
# fine-tuned, and compared with the same network from random weights. (The start has seen all labels: this shows what
# transfer is worth at best. Weights from other pictures take its place with `start=FOLDER`.)

# %%
few = {
    **SMALL,
    "data.train_size": 100 if SOURCE == "digits" else 500,
    "training.min_steps": 60 if BUDGET == "smoke" else 300,
}
few |= {"training.flip": False, "training.shift": 0}
start = str(runs[RECIPES[0]][0].folder)
plain = load_recipe(RECIPES[0], budget=BUDGET).with_overrides(few | {"data.source": SOURCE})
variants = [
    plain.with_overrides({"name": "random-weights", "title": "from random weights"}),
    plain.with_overrides({"name": "frozen-start", "title": "frozen start", "start": start, "freeze": "encoder"}),
    plain.with_overrides({"name": "tuned-start", "title": "tuned start", "start": start, "encoder_rate": 0.1}),
]
transfer = lw.compare(variants, out=OUT / "few-labels", seeds=SEEDS)
for variant in variants:
    row = next(row for row in transfer.summary if row.recipe == variant.name and row.metric == "classifier_accuracy")
    print(f"{variant.name:16} {row.mean:.1%} of the test images, from {few['data.train_size']} labelled ones")

# %% [markdown]
# ## Answers, from what was measured

# %%
for statement in (*result.statements, *transfer.statements):
    print("-", statement)
print(f"Reports with every picture: {OUT / 'all' / 'report.html'} and {OUT / 'few-labels' / 'report.html'}")
