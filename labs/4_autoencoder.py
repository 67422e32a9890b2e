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
# # Lab 4, first half: an autoencoder and the linear probe three ways
#
# STL-10 has 100,000 photographs without labels and 5,000 with. What is the first heap good for? An encoder learns to squeeze each
# unlabelled image into 128 numbers from which a decoder can draw it again. Then one linear classifier reads classes from what
# the encoder gives, three times:
#
# | method | the encoder | the classifier |
# | --- | --- | --- |
# | I | learned to reconstruct, then frozen | trained on the labelled images |
# | II | trained together with a classifier, from the labelled images | trained on the labelled images |
# | III | random, frozen | trained on the labelled images |
#
# Encoder, labelled images, validation and test images are the same for all three. Three questions:
#
# 1. What does the autoencoder keep of an image, and what does it lose?
# 2. How well does a linear classifier do on each of the three encoders?
# 3. How does that change with fewer labels?
#
# It runs as a script or opens in Jupyter. `LIKEWISE_BUDGET` is `smoke`, `laptop` (default) or `paper`. `LIKEWISE_LAB_SEEDS` is the
# number of seeds (default 3, at `smoke` 1). `LIKEWISE_LAB_STL10` may name another source, such as a folder with STL-10's binary files,
# or `cifar10`.

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import likewise as lw
from likewise.errors import DatasetError

BUDGET = os.environ.get("LIKEWISE_BUDGET", "laptop")
SOURCE = os.environ.get("LIKEWISE_LAB_STL10", "stl10")
SEEDS = int(os.environ.get("LIKEWISE_LAB_SEEDS", {"smoke": 1, "laptop": 3, "paper": 3}[BUDGET]))
OPTIONS = {}
try:
    lw.load_dataset(SOURCE, split="test")
except DatasetError as error:
    print(error)
    SOURCE, OPTIONS = "digits", {"image_size": 16, "train_size": 200, "unlabeled_size": None, "embedding_dim": 16}
    print("STL-10 could not be had. This lab goes on with scikit-learn's digits: its numbers are theirs.")
OUT = Path(os.environ.get("LIKEWISE_LAB_OUT", "runs/labs")) / f"4-autoencoder-{BUDGET}-{Path(SOURCE).name}"

# %% [markdown]
# ## Training
#
# `stl10-probe-three-ways` stands for three recipes. Every cell of the comparison is a run of its own, so an interrupted lab goes on
# where it was. The autoencoder minimises the mean squared error of the standardised pixels,
#
# $$\mathcal{L} = \frac{1}{NP}\sum_{i,p} (\hat x_{ip} - x_{ip})^2,$$
#
# so 1 is what the mean image's colour gives, and $1 - \mathcal{L}$ is the share of the variance that the 128 numbers explain.

# %%
OUT.mkdir(parents=True, exist_ok=True)
result = lw.compare(
    ["stl10-probe-three-ways"], out=OUT / "probe", seeds=SEEDS, data=SOURCE, budget=BUDGET, overrides=OPTIONS
)
METHODS = {"I, reconstructs": "stl10-autoencoder", "II, joint": "stl10-joint", "III, random": "stl10-random"}
runs = {method: lw.Run.load(result.folder / result.done(name)[0].folder) for method, name in METHODS.items()}

# %% [markdown]
# ## 1. What does the autoencoder keep?
#
# Test images, which it never saw: above the image, below what the decoder draws from its embedding alone.

# %%
examples = runs["I, reconstructs"].examples()
figure, axes = plt.subplots(2, len(examples["target"]), figsize=(15, 3.4), layout="constrained")
for row, name in zip(axes, ("target", "prediction"), strict=True):
    for axis, picture in zip(row, examples[name], strict=True):
        shown = picture.transpose(1, 2, 0)
        axis.imshow(shown if shown.shape[2] == 3 else shown[:, :, 0], cmap="gray", vmin=0, vmax=255)
        axis.set_axis_off()
figure.savefig(OUT / "reconstructions.png", dpi=120)
plt.show()
history = runs["I, reconstructs"].history
print("validation loss by epoch:", [round(line["val_loss"], 4) for line in history])
print(f"explained variance on validation: {1 - history[-1]['val_loss']:.1%}")


def coarse(pictures: np.ndarray, side: int = 4) -> np.ndarray:
    """(N, C, H, W), every square of so many pixels as its mean."""
    n, c, h, w = pictures.shape
    squares = pictures[:, :, : h // side * side, : w // side * side].reshape(n, c, h // side, side, w // side, side)
    return squares.mean(axis=(3, 5), keepdims=True).repeat(side, 3).repeat(side, 5).reshape(n, c, h // side * side, -1)


def explained(truth: np.ndarray, drawn: np.ndarray) -> float:
    return float(1 - ((truth - drawn) ** 2).mean() / truth.var())


truth, drawn = (np.asarray(examples[name], dtype=float) for name in ("target", "prediction"))
height, width = coarse(truth).shape[2:]
large = explained(coarse(truth), coarse(drawn))
detail = explained(*(each[:, :, :height, :width] - coarse(each) for each in (truth, drawn)))
print(f"of the means of 4×4 pixels it explains {large:.1%} on these images, of the detail within them {detail:.1%}")

# %% [markdown]
# ## 2. How well does a linear classifier do on each encoder?
#
# Features are standardised, the classifier is a logistic regression solved to convergence, the strength of its penalty is chosen on
# validation. Bars are 95 % intervals over seeds (with one seed: over test images).

# %%
rows = {row.recipe: row for row in result.summary if row.metric == "linear_probe_accuracy"}
figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
for place, (method, name) in enumerate(METHODS.items()):
    row = rows[name]
    low, high = (row.mean if bound is None else bound for bound in (row.low, row.high))
    axis.bar(
        place,
        100 * row.mean,
        color=plt.cm.tab10(place),
        yerr=[[100 * (row.mean - low)], [100 * (high - row.mean)]],
        capsize=5,
    )
    axis.annotate(f"{row.mean:.1%}", (place, 2), ha="center", color="white", fontweight="bold")
    print(f"{method:18}{row.mean:.3f}   95 % interval {low:.3f} to {high:.3f}")
axis.set(xticks=range(3), xticklabels=list(METHODS), ylabel="linear probe accuracy on test (%)")
figure.savefig(OUT / "three_ways.png", dpi=120)
plt.show()

# %% [markdown]
# ## 3. How does that change with fewer labels?
#
# The embeddings stay as they are; only the classifier sees fewer labels. Each amount is drawn five times. Method II is left out: its
# encoder saw all labels already.

# %%
few = {}
figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
for method in ("I, reconstructs", "III, random"):
    splits = [runs[method].embeddings(split) for split in ("train", "validation", "test")]
    fewest = np.bincount(splits[0].labels).min()
    amounts = [amount for amount in (1, 2, 5, 10, 50, 100, 400) if amount <= fewest]
    found = lw.evaluation.few_labels(*[(split.embeddings, split.labels) for split in splits], amounts=amounts)
    means = [100 * each.mean for each in found]
    ends = np.array([[100 * end for end in each.interval] for each in found])
    axis.plot(amounts, means, marker="o", label=method)
    axis.fill_between(amounts, *ends.T, alpha=0.2)
    print(method, {each.amount: round(each.mean, 3) for each in found})
    few[method] = found
axis.set(xscale="log", xlabel="labels per class", ylabel="linear probe accuracy on test (%)")
axis.set_xticks(amounts, [str(amount) for amount in amounts])
axis.minorticks_off()
axis.grid(alpha=0.3)
axis.legend()
figure.savefig(OUT / "few_labels.png", dpi=120)
plt.show()

# %% [markdown]
# ## Answers, from what was measured

# %%
print(
    f"What does the autoencoder keep? {1 - history[-1]['val_loss']:.1%} of the variance of the pixels: {large:.1%} of what is larger than "
    f"4×4 pixels, {detail:.1%} of the detail within."
)
order = sorted(METHODS, key=lambda method: rows[METHODS[method]].mean, reverse=True)
print("How well does a linear classifier do? " + ", ".join(f"{m}: {rows[METHODS[m]].mean:.1%}" for m in order) + ".")
for statement in result.statements:
    print("-", statement)
for at in (0, -1):
    kept, drawn_at_random = few["I, reconstructs"][at], few["III, random"][at]
    print(
        f"Labelled images per class: {kept.amount}. I {kept.mean:.1%} ({kept.interval[0]:.1%} to {kept.interval[1]:.1%}), "
        f"III {drawn_at_random.mean:.1%} ({drawn_at_random.interval[0]:.1%} to {drawn_at_random.interval[1]:.1%})."
    )
print(f"The report with every picture: {result.folder / 'report.html'}")
