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
# # Lab 1: MNIST in two dimensions
#
# A network can be asked two different things about the same images.
#
# - **Cross-entropy** asks *which class is this?* Give it a layer of two units before the class scores, and what those two
#   units say about an image is a point in the plane.
# - **Contrastive learning** asks *are these two alike?* It has no class scores at all: points of the same class are pulled
#   together, points of different classes pushed apart until a margin.
#
# Both give a picture that needs no projection. This lab trains both on the same images with the same encoder, looks at
# the pictures, and measures what they show.
#
# It runs as a script (`python labs/1_mnist_in_two_dimensions.py`) or opens in Jupyter. `LIKEWISE_BUDGET` chooses the effort:
# `smoke` (seconds), `laptop` (minutes on two cores, the default), `paper` (the course sheet's own 100 epochs of batches of 8),
# `LIKEWISE_LAB_SEEDS` how many seeds are trained of each (1).

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import likewise as lw
from likewise.comparison.statistics import paired_differences, within
from likewise.errors import DatasetError

BUDGET = os.environ.get("LIKEWISE_BUDGET", "laptop")
SOURCE = os.environ.get("LIKEWISE_LAB_MNIST", "mnist")
SEEDS = int(os.environ.get("LIKEWISE_LAB_SEEDS", "1"))
try:
    test = lw.load_dataset(SOURCE, split="test")
except DatasetError as error:
    print(error)
    SOURCE = "digits"
    test = lw.load_dataset(SOURCE)
    print("MNIST could not be had. This lab goes on with scikit-learn's digits, 8×8 pixels: its numbers are theirs.")
OUT = Path(os.environ.get("LIKEWISE_LAB_OUT", "runs/labs")) / f"1-{BUDGET}-{Path(SOURCE).name}"
print(f"{SOURCE}: {len(test):,} images of {test.image_shape}, {test.origin}")

# %% [markdown]
# ## The images


# %%
def show(images: np.ndarray, titles: list[str]) -> None:
    _, axes = plt.subplots(1, len(images), figsize=(len(images) * 0.9, 1.3), layout="constrained")
    for axis, image, title in zip(axes, images, titles, strict=True):
        axis.imshow(image[0], cmap="gray_r")
        axis.set_title(title, fontsize=9)
        axis.axis("off")
    plt.show()


first = [int((test.labels == label).nonzero()[0]) for label in range(test.num_classes)]
show(test.images[first].numpy(), list(test.class_names))

# %% [markdown]
# ## Two objectives, one encoder
#
# Cross-entropy sees the embedding $z_i \in \mathbb{R}^2$ through a linear layer:
# $$\mathcal{L} = -\frac{1}{N}\sum_i \log \mathrm{softmax}(W z_i + b)_{y_i}.$$
#
# The contrastive loss looks at all pairs $i<j$ of a batch, with the squared distance $D^2_{ij} = \lVert z_i - z_j\rVert^2$ and
# margin $m = 1$:
# $$\mathcal{L} = \sum_{i<j} [y_i = y_j]\, D^2_{ij} + [y_i \neq y_j]\, \max(0,\; m - D^2_{ij}).$$

# %%
RECIPES = {"cross-entropy": "mnist-2d-crossentropy", "contrastive": "mnist-2d-contrastive"}
options = {} if SOURCE != "digits" else {"data__validation": 0.2, "data__train_size": None}


def trained(name: str, seed: int) -> lw.Run:
    folder = OUT / name / f"seed-{seed}"
    resume = (folder / "recipe.yaml").exists()
    return lw.train(name, folder, data=SOURCE, budget=BUDGET, seed=seed, resume=resume, **options)


every = {label: [trained(name, seed) for seed in range(SEEDS)] for label, name in RECIPES.items()}
runs = {label: seeds[0] for label, seeds in every.items()}

# %% [markdown]
# ## The pictures

# %%
figure, axes = plt.subplots(1, 2, figsize=(11, 5.2), layout="constrained")
for axis, (label, run) in zip(axes, runs.items(), strict=True):
    embedded = run.embeddings("test")
    for digit, name in enumerate(test.class_names):
        points = embedded.embeddings[embedded.labels == digit]
        axis.scatter(*points.T, s=3, alpha=0.5, color=plt.cm.tab10(digit), label=name)
        axis.annotate(name, np.median(points, axis=0), fontsize=14, weight="bold", ha="center", va="center")
    axis.set_title(f"{label}: 1-NN accuracy {run.metrics['knn1_accuracy']:.1%} on test")
    axis.set_aspect("equal")
axes[1].legend(markerscale=4, bbox_to_anchor=(1, 1), loc="upper left", title="class")
OUT.mkdir(parents=True, exist_ok=True)
figure.savefig(OUT / "two_dimensions.png", dpi=130)
plt.show()


# %% [markdown]
# ## What the shapes say
#
# Three numbers say what the eye sees. How far is a point from the centre of its class, against how far that centre is from the
# nearest other one? How much of a point's place is its direction seen from the origin? And how well does its nearest neighbour in the
# training set name it? Each is a mean over the test images, so that two objectives can be compared image by image.

# %%
DISTANCE = "distance to the centre of its class / of that to the nearest other"
PLACE, DIRECTION = "named by the nearest class centre", "named by the direction from the origin alone"
NEIGHBOUR = "named by the nearest neighbour (1-NN)"


def shape(run: lw.Run) -> dict[str, np.ndarray]:
    """By question, one value for each test image."""
    embedded, records = run.embeddings("test"), run.records()
    z, labels = embedded.embeddings, embedded.labels
    centres = np.stack([z[labels == label].mean(axis=0) for label in range(test.num_classes)])
    gaps = np.linalg.norm(centres[:, None] - centres[None], axis=2)
    nearest = np.min(gaps + np.where(np.eye(len(centres)) > 0, np.inf, 0), axis=1)
    angles = np.arctan2(z[:, 1], z[:, 0])
    centre_angles = np.arctan2(centres[:, 1], centres[:, 0])
    by_angle = np.abs(np.angle(np.exp(1j * (angles[:, None] - centre_angles[None])))).argmin(axis=1)
    by_place = np.linalg.norm(z[:, None] - centres[None], axis=2).argmin(axis=1)
    return {
        DISTANCE: np.linalg.norm(z - centres[labels], axis=1) / nearest[labels],
        PLACE: by_place == labels,
        DIRECTION: by_angle == labels,
        NEIGHBOUR: np.asarray(records["knn1_prediction"]) == np.asarray(records["label"]),
    }


# question → (seeds, test images)
shapes = {label: [shape(run) for run in seeds] for label, seeds in every.items()}
values = {
    label: {key: np.array([each[key] for each in seeds], float) for key in seeds[0]} for label, seeds in shapes.items()
}
width = max(map(len, values["contrastive"]))
print(f"{'':{width}}  " + "  ".join(f"{label:>13}" for label in values))
for row in values["contrastive"]:
    print(f"{row:{width}}  " + "  ".join(f"{found[row].mean():13.3f}" for found in values.values()))
baselines = runs["contrastive"].evaluation["baselines"]
print("Without any training:", ", ".join(f"{name} {value:.1%}" for name, value in baselines.items()))

# %% [markdown]
# ## Answers, from what was measured
#
# An objective is named only where the 95 % interval of the difference on the same test images leaves zero out.


# %%
def answer(row: str, *, higher_is_better: bool, digits: str) -> str:
    first, second = (found[row] for found in values.values())
    gap = paired_differences((first - second)[None])[0]
    if first.max() <= 1 and second.max() <= 1:
        gap = within(gap, -1, 1)  # two seeds alone do not know where a share ends
    ahead = list(values)[0 if (gap.mean > 0) == higher_is_better else 1]
    numbers = ", ".join(f"{label} {found[row].mean():{digits}}" for label, found in values.items())
    said = ahead if gap.excludes_zero else "no statement"
    return f"{said}. {numbers}; difference {gap.mean:+{digits}}, 95 % interval {gap.low:+{digits}} to {gap.high:+{digits}}."


print(
    "Whose images lie closer to their class, beside the distance to the next?",
    answer(DISTANCE, higher_is_better=False, digits=".3f"),
)
print("Whose classes are rays, named by the direction alone?", answer(DIRECTION, higher_is_better=True, digits=".1%"))
print("Whose nearest neighbour is better?", answer(NEIGHBOUR, higher_is_better=True, digits=".1%"))
if SEEDS == 1:
    print("One seed was trained: the intervals are over test images, and another seed may differ by more.")
print(f"Reports: {', '.join(str(run.folder / 'report.html') for run in runs.values())}")
