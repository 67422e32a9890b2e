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
# # Lab 3: cross-entropy against siamese training on Fashion-MNIST
#
# The same network is trained twice: as a classifier, and as a siamese network that sees pairs and learns whether they show the
# same kind of garment. Four questions:
#
# 1. What do the two embedding spaces look like?
# 2. Whose nearest neighbour is right more often (1-NN accuracy, precision, recall, F1)?
# 3. How good is each as a retrieval space (recall@k for k = 1 … 5)?
# 4. Which needs fewer labelled images, and does the loss over all pairs change the answer?
#
# It runs as a script or opens in Jupyter. `LIKEWISE_BUDGET` is `smoke`, `laptop` (default) or `paper` (the course sheet's own
# network and epochs). `LIKEWISE_LAB_FASHION` may name another source: the two CSV files from Kaggle, say, in one folder.
# `LIKEWISE_LAB_SEEDS` is the number of seeds (`smoke` 1, else 3).

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

import likewise as lw
from likewise.data.samplers import PairSampler
from likewise.errors import DatasetError

BUDGET = os.environ.get("LIKEWISE_BUDGET", "laptop")
SOURCE = os.environ.get("LIKEWISE_LAB_FASHION", "fashion-mnist")
SEEDS = int(os.environ.get("LIKEWISE_LAB_SEEDS", "1" if BUDGET == "smoke" else "3"))
SIZES = {"smoke": [100], "laptop": [100, 1000, 10000], "paper": [100, 1000, 10000]}[BUDGET]
EQUAL = {"smoke": "images=1000", "laptop": "images=40000", "paper": "images=285000"}[BUDGET]
try:
    test = lw.load_dataset(SOURCE, split="test")
except DatasetError as error:
    print(error)
    SOURCE = "digits"
    test = lw.load_dataset(SOURCE)
    print("Fashion-MNIST could not be had. This lab goes on with scikit-learn's digits: its numbers are theirs.")
OUT = Path(os.environ.get("LIKEWISE_LAB_OUT", "runs/labs")) / f"3-{BUDGET}-{Path(SOURCE).name}"
print(f"{SOURCE}: {len(test):,} test images, {test.origin}")

# %% [markdown]
# ## From a CSV
#
# The course hands the images out as a table with one row an image: `label,pixel1,…,pixel784`. That is one source among others:
# a few rows written and read again give the same images.

# %%
OUT.mkdir(parents=True, exist_ok=True)
few = test.subset(torch.arange(100))
pixels = few.images.flatten(1).numpy()
header = "label," + ",".join(f"pixel{i + 1}" for i in range(pixels.shape[1]))
table = np.column_stack([few.labels.numpy(), pixels])
np.savetxt(OUT / "few.csv", table, fmt="%d", delimiter=",", header=header, comments="")
again = lw.load_dataset(OUT / "few.csv")
assert (again.images == few.images).all()
print(f"{OUT / 'few.csv'}: {len(again)} images of {again.image_shape}")

# %% [markdown]
# ## The images, and the pairs
#
# What the classifier is shown: an image and its class. What the siamese network is shown: two images, and whether they are of one
# class. Of which, it is never told: the names below the word are for the reader.


# %%
def show(rows: list[torch.Tensor], titles: list[str], file: str) -> None:
    """Columns of one image or of two, each column under its title."""
    columns = len(titles)
    figure, axes = plt.subplots(
        len(rows), columns, figsize=(columns * 1.1, 0.5 + len(rows)), layout="constrained", squeeze=False
    )
    for axis, image in zip(axes.flat, (image for row in rows for image in row), strict=True):
        picture = image.permute(1, 2, 0).numpy()
        axis.imshow(picture.squeeze(), cmap="gray_r" if picture.shape[2] == 1 else None)
        axis.axis("off")
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=9)
    figure.savefig(OUT / f"{file}.png", dpi=120)
    plt.show()


train = lw.load_dataset(SOURCE, split="train")
names, draws = train.class_names, torch.Generator().manual_seed(0)
one_each = [int((train.labels == label).nonzero()[0]) for label in range(train.num_classes)]
show([train.take(torch.tensor(one_each))], list(names), "images")
anchors = torch.tensor(one_each)
partners, different = PairSampler(train.labels).draw(anchors, draws)
pairs = [
    f"{'different' if unlike else 'same'}\n{names[train.labels[a]]}\n{names[train.labels[b]]}"
    for a, b, unlike in zip(anchors.tolist(), partners.tolist(), different.tolist(), strict=True)
]
show([train.take(anchors), train.take(partners)], pairs, "pairs")

# %% [markdown]
# ## Training
#
# The siamese network sees pairs, same class or different with probability ½ each, and minimises the mean over the pairs of
#
# $$\mathcal{L} = \begin{cases} D^2 & \text{same class} \\ \max(0,\; 2.5 - D)^2 & \text{different classes.} \end{cases}$$
#
# The third objective, `contrastive`, looks at **all** pairs of each batch, with $D^2$ and $\max(0,\; m - D^2)$. Encoder, images and
# seeds are the same for all three. At `laptop` the encoder also sees as many images in each: a step of pairs shows two of them, so
# the siamese network takes half of the steps. Cross-entropy alone normalises its embedding over the batch. In the comparison of
# training sizes every run sees the same number of images. All cells are runs of their own, so an interrupted lab goes on where it was.

# %%
RECIPES = ["fashion-crossentropy", "fashion-siamese", "fashion-contrastive"]
options = {} if SOURCE != "digits" else {"overrides": {"data.validation": 0.2, "data.train_size": None}}
main = lw.compare(RECIPES, out=OUT / "all", seeds=SEEDS, data=SOURCE, budget=BUDGET, **options)
sizes = lw.compare(
    RECIPES, out=OUT / "sizes", seeds=SEEDS, train_sizes=SIZES, data=SOURCE, budget=BUDGET, equal=EQUAL, **options
)
first = {name: lw.Run.load(main.folder / main.done(name)[0].folder) for name in RECIPES}

# %% [markdown]
# How the losses fell, in the first seed: above with all images, in few passes, below with few images, which are seen again
# and again. The training loss is the mean of an epoch while the network changed, the validation loss that of the network at its end. Each
# objective has a scale of its own, so only the shapes can be compared: where the validation loss rises while the training loss falls,
# the network learns its images by heart.

# %%
few = next(condition for condition in sizes.conditions if condition.train_size == SIZES[len(SIZES) // 2])
again = {name: lw.Run.load(sizes.folder / sizes.done(name, few.key)[0].folder) for name in RECIPES}
figure, axes = plt.subplots(2, len(RECIPES), figsize=(12, 6.2), layout="constrained")
for row, (amount, shown) in zip(axes, (("all images", first), (few.images, again)), strict=True):
    for axis, name in zip(row, RECIPES, strict=True):
        epochs = [line["epoch"] for line in shown[name].history]
        for key, label in (("train_loss", "training"), ("val_loss", "validation")):
            losses = [line[key] for line in shown[name].history]
            axis.plot(epochs, losses, marker="o" if len(epochs) < 10 else None, label=label)
        axis.set(title=f"{name}\n{amount}", xlabel="epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
    row[0].set_ylabel("loss")
axes[0, 0].legend()
figure.savefig(OUT / "losses.png", dpi=120)
plt.show()

# %% [markdown]
# ## 1. What do the spaces look like?
#
# Test images, brought to two dimensions by t-SNE. Distances between far groups mean little in such a picture; whether a class
# is one group means something.

# %%
figure, axes = plt.subplots(1, len(RECIPES), figsize=(15, 5), layout="constrained")
for axis, name in zip(axes, RECIPES, strict=True):
    embedded = first[name].embeddings("test")
    chosen = np.random.default_rng(0).permutation(len(embedded.labels))[:2000]
    plane = lw.evaluation.project(embedded.embeddings[chosen], method="tsne", seed=0)
    for label, class_name in enumerate(first[name].evaluation["class_names"]):
        points = plane[embedded.labels[chosen] == label]
        axis.scatter(*points.T, s=4, color=plt.cm.tab10(label % 10), label=class_name)
    axis.set_title(f"{name}\n1-NN accuracy {first[name].metrics['knn1_accuracy']:.1%}")
    axis.set_xticks([])
    axis.set_yticks([])
axes[-1].legend(markerscale=3, bbox_to_anchor=(1, 1), loc="upper left")
figure.savefig(OUT / "spaces.png", dpi=120)
plt.show()

# %% [markdown]
# ## 2. Whose nearest neighbour is right more often?

# %%
NAMES = ["knn1_accuracy", "knn1_precision_macro", "knn1_recall_macro", "knn1_f1_macro", "map_at_r"]
print(f"{'':22}" + "".join(f"{name.removeprefix('knn1_'):>18}" for name in NAMES))
for name in RECIPES:
    means = {row.metric: row.mean for row in main.summary if row.recipe == name}
    print(f"{name:22}" + "".join(f"{means[metric]:>18.3f}" for metric in NAMES))
for name, value in first[RECIPES[0]].evaluation["baselines"].items():
    print(f"{name}: {value:.3f}, without any training")

# %% [markdown]
# ## 3. How good is each as a retrieval space?
#
# Recall@k: the share of test images with an image of their own class among the k nearest other test images.

# %%
figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
for name in RECIPES:
    curve = {int(k): value for k, value in first[name].evaluation["recall_curve"].items()}
    axis.plot([k for k in curve if k <= 5], [value for k, value in curve.items() if k <= 5], marker="o", label=name)
    print(name, {k: round(value, 4) for k, value in curve.items() if k <= 5})
axis.set(xlabel="k", ylabel="recall@k on test", xticks=range(1, 6))
axis.grid(alpha=0.3)
axis.legend()
figure.savefig(OUT / "recall.png", dpi=120)
plt.show()

# %% [markdown]
# ## 4. Which needs fewer labelled images?

# %%
for statement in sizes.statements:
    print("-", statement)

# %% [markdown]
# ## Answers, from what was measured

# %%
for statement in main.statements:
    print("-", statement)
print(f"Reports with every picture: {OUT / 'all' / 'report.html'} and {OUT / 'sizes' / 'report.html'}")
