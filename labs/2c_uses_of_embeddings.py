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
# # Lab 2c: what embeddings are good for
#
# An encoder that learned without labels gives every image a place. What can be done with places alone? Six questions, each with a
# picture and a number:
#
# 1. Search by example: what else looks like this?
# 2. Clusters: which groups are there?
# 3. Anomalies: which image does not belong?
# 4. Independent components: which directions has the space?
# 5. Duplicates: is the same image there twice?
# 6. Suspected labels: which label may be wrong?
#
# (Search by a sentence, and labels by the name of a class alone, need text: lab 4b.)
#
# It runs as a script or opens in Jupyter. `LIKEWISE_BUDGET` is `smoke`, `laptop` (default) or `paper` (a GPU). `LIKEWISE_LAB_CIFAR`
# may name another source of small images. Where lab 2b was run before, its SimCLR and its random encoder are taken.

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

import likewise as lw
from likewise import training
from likewise.errors import DatasetError
from likewise.evaluation import nearest, paired_bootstrap, rank_suspects, wilson
from likewise.recipes import load_recipe

BUDGET = os.environ.get("LIKEWISE_BUDGET", "laptop")
SOURCE = os.environ.get("LIKEWISE_LAB_CIFAR", "cifar10")
changes: dict[str, object] = {"evaluation.projection": "pca"} if BUDGET == "smoke" else {}
try:
    lw.load_dataset(SOURCE, split="test")
except DatasetError as error:
    print(error)
    SOURCE = "digits"
    changes |= {"data.validation": 0.2, "data.train_size": None, "training.batch_size": 128, "training.flip": False}
    print("CIFAR-10 could not be had. This lab goes on with scikit-learn's digits, 8×8 pixels: its numbers are theirs.")
FOLDER = Path(os.environ.get("LIKEWISE_LAB_OUT", "runs/labs"))
OUT = FOLDER / f"2c-{BUDGET}-{Path(SOURCE).name}"
OUT.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## Two encoders
#
# SimCLR, which was trained, and the same encoder as it was drawn, which was not: what the second can do, training did not teach.


# %%
def trained(name: str, **own: object) -> lw.Run:
    before = FOLDER / f"2b-{BUDGET}-{Path(SOURCE).name}" / "tasks" / "cells" / name / "train-all" / "seed-0"
    if (before / "metrics.json").exists():
        return lw.Run.load(before)
    recipe = load_recipe(name, budget=BUDGET).with_overrides({"data.source": SOURCE} | changes | own)
    return training.train(recipe, OUT / name, resume=(OUT / name / "recipe.yaml").exists())


views = load_recipe("digits-simclr", budget=BUDGET).objective.views.model_dump()
encoders = {
    "SimCLR": trained("cifar10-simclr", **({"objective.views": views} if SOURCE == "digits" else {})),
    "random": trained("cifar10-random"),
}
run = encoders["SimCLR"]
spaces = {name: each.embeddings("test").embeddings for name, each in encoders.items()}
z, labels, names = spaces["SimCLR"], run.embeddings("test").labels, run.evaluation["class_names"]
images = run.data().test
pixels = images.take(torch.arange(len(images))).numpy()
print(f"{len(z):,} test images of {run.evaluation['origin']}, places of {z.shape[1]} numbers")


def show(rows: dict[str, np.ndarray], title: str, file: str, below: list[list[str]] | None = None) -> None:
    """Rows of images (N, C, H, W) under one another, each with its name and, where given, words below its images."""
    zoom, columns = max(1, 64 // pixels.shape[2]), max(map(len, rows.values()))
    wide = columns * (pixels.shape[3] * zoom + 8)
    lines = 1 + max((word.count("\n") for words in below or [] for word in words), default=-1)
    space = 4 + round(lines * 0.15 * wide / 8)  # the paper is 8 inches wide, a line of words 0.15 high
    strips = []
    for pictures in rows.values():
        tiles = pictures.repeat(zoom, 2).repeat(zoom, 3)
        tiles = np.pad(tiles, ((0, 0), (0, 0), (4, space), (4, 4)), constant_values=255)
        strips.append(np.concatenate(tiles.transpose(0, 2, 3, 1), axis=1))
    paper, step = np.concatenate(strips), len(strips[0])
    height = 8 * len(paper) / wide
    figure = plt.figure(figsize=(9.7, height + 0.4))
    axis = figure.add_axes((1.6 / 9.7, 0, 8 / 9.7, height / (height + 0.4)))
    axis.imshow(paper if paper.shape[2] == 3 else paper[:, :, 0], cmap="gray", vmin=0, vmax=255, aspect="auto")
    for row, words in enumerate(below or []):
        for column, word in enumerate(words):
            place = ((column + 0.5) * wide / columns, (row + 1) * step - space + 3)
            axis.text(*place, word, ha="center", va="top", fontsize=8, linespacing=1.0)
    axis.set_yticks(np.arange(len(rows)) * step + (step - space) / 2, list(rows), fontsize=9)
    axis.tick_params(length=0)
    axis.set_xticks([])
    axis.spines[:].set_visible(False)
    axis.set_title(title, fontsize=10, loc="left")
    figure.savefig(OUT / f"{file}.png", dpi=110)
    plt.show()


def against(what: str, values: np.ndarray, other: str, others: np.ndarray) -> str:
    """Both means of a share, and who is ahead where the interval over the test images supports one."""
    gap = paired_bootstrap(values, others)
    ahead = "SimCLR is ahead" if gap.difference > 0 else f"{other} is ahead"
    return (
        f"{what}: SimCLR {np.mean(values):.1%}, {other} {np.mean(others):.1%}; difference {100 * gap.difference:+.1f} points, 95 % "
        f"interval {100 * gap.low:+.1f} to {100 * gap.high:+.1f}: {ahead if gap.supported else 'no statement'}."
    )


answers = {}

# %% [markdown]
# ## 1. Search by example: what else looks like this?
#
# One image is the query; no word and no label is needed. Measured with the labels that were not used: how many of the five nearest
# other test images are of the query's class, beside the five nearest by their raw pixels.

# %%
_, neighbors = nearest(z, z, 5, distance="cosine", exclude_self=True)
flat = pixels.reshape(len(pixels), -1)
_, by_pixels = nearest(flat, flat, 5, exclude_self=True)
alike, alike_pixels = ((labels[found] == labels[:, None]).mean(axis=1) for found in (neighbors, by_pixels))
queries = [int(np.flatnonzero(labels == label)[0]) for label in np.unique(labels)[:6]]
rows = {f"query: {names[labels[i]]}": pixels[[i, *neighbors[i]]] for i in queries}
words = [["", *(f"{'✓' if labels[j] == labels[i] else '✗'} {names[labels[j]]}" for j in neighbors[i])] for i in queries]
show(rows, "Test images and the five other test images that are most alike (✓: of the same class)", "search", words)
answers["search"] = against("of the five nearest are of the query's class", alike, "raw pixels", alike_pixels)
print(answers["search"])

# %% [markdown]
# ## 2. Clusters: which groups are there?
#
# Spherical k-means, as many clusters as classes. The images of a row lie nearest to the centre of their cluster; its name is its size
# and its commonest class. Each cluster is then matched with one class at most, and an image counts as right in the cluster of its class.

# %%
found, right = {}, {}
for name, places in spaces.items():
    found[name] = lw.evaluation.clustering(places, labels, spherical=True)
    matching = found[name].matching
    right[name] = np.array([matching.get(cluster, -1) for cluster in found[name].assignments.tolist()]) == labels
    scores = ", ".join(f"{score.upper()} {getattr(found[name], score):.3f}" for score in ("nmi", "ami", "ari"))
    print(f"{name}: {scores}, silhouette {found[name].silhouette:.3f}")
unit, rows = z / np.linalg.norm(z, axis=1, keepdims=True), {}
for cluster, centre in enumerate(found["SimCLR"].centers):
    members = np.flatnonzero(found["SimCLR"].assignments == cluster)
    share = np.bincount(labels[members], minlength=len(names)) / len(members)
    closest = members[np.resize(np.argsort(-(unit[members] @ centre))[:8], 8)]
    rows[f"{cluster + 1}: {len(members):,} images,\n{share.max():.0%} {names[share.argmax()]}"] = pixels[closest]
show(rows, "Clusters: the eight images nearest to each centre", "clusters")
answers["clusters"] = against(
    "of the images are in the cluster of their class", right["SimCLR"], "random", right["random"]
)
print(answers["clusters"])

# %% [markdown]
# ## 3. Anomalies: which image does not belong?
#
# Each class in turn is all that is known. An image is the stranger, the farther its fifth nearest training image of that class. The
# area under the ROC curve (AUROC) is the chance that an image of another class looks stranger than one of the class: ½ is guessing.

# %%
strange = {}
for name, each in encoders.items():
    known = each.embeddings("train")
    strange[name] = lw.evaluation.one_class_anomaly(
        known.embeddings, known.labels, spaces[name], labels, distance="cosine"
    )
rows = {}
for label, result in strange["SimCLR"].items():
    members = np.flatnonzero(labels == label)
    order = members[np.argsort(result.scores[: len(members)])]
    rows[f"{names[label]}: AUROC {result.auroc:.2f}"] = pixels[[*order[:4], *order[-4:]]]
show(rows, "Of each class its four most ordinary test images, then its four strangest", "anomalies")
areas = {name: np.array([each.auroc for each in results.values()]) for name, results in strange.items()}
mean, low, high = lw.evaluation.mean_interval(areas["SimCLR"] - areas["random"])
ahead = f"{'SimCLR' if mean > 0 else 'random'} is ahead" if low > 0 or high < 0 else "no statement"
answers["anomalies"] = (
    f"AUROC, mean of the classes: SimCLR {areas['SimCLR'].mean():.3f}, random {areas['random'].mean():.3f}; difference {mean:+.3f}, "
    f"95 % interval over the classes {low:+.3f} to {high:+.3f}: {ahead}."
)
print(answers["anomalies"])

# %% [markdown]
# ## 4. Independent components: which directions has the space?
#
# A network has no reason to put a concept on an axis. Independent component analysis looks for axes whose values have nothing to do
# with each other; what the images share that activate one most, it may stand for. Do they share more than chance? The commonest
# class among a component's 50 strongest images is held against 50 images drawn at random, ten thousand times.

# %%
parts = lw.evaluation.independent_components(z, components=6)
counts = [np.bincount(labels[row], minlength=len(names)) for row in parts.strongest(50)]
random = np.random.default_rng(0)
drawn = random.multivariate_hypergeometric(np.bincount(labels), min(50, len(labels)), size=10_000).max(axis=1)
limit = int(np.quantile(drawn, 1 - 0.05 / len(counts)))  # Bonferroni: one lab in twenty errs on any of its components
rows = {
    f"{at + 1}: {count.max()} of 50\n{names[count.argmax()]}": pixels[strongest]
    for at, (count, strongest) in enumerate(zip(counts, parts.strongest(8), strict=True))
}
show(rows, "Independent components: the eight test images that activate each most", "components")
answers["components"] = (
    f"of {len(counts)} components {sum(count.max() > limit for count in counts)} have more images of one class among their 50 strongest "
    f"than chance gives (at most {limit} in 95 % of draws, all components together)"
    + ("." if parts.converged else "; the search did not converge.")
)
print(answers["components"])

# %% [markdown]
# ## 5. Duplicates: is the same image there twice?
#
# A copy lies much nearer than an ordinary neighbour. What lies nearer than a tenth of the median distance to the nearest neighbour is
# looked at. How well that finds copies is measured on copies that are made here.

# %%
distances, places = nearest(z, run.embeddings("train").embeddings, 1, distance="cosine")
leaks = lw.evaluation.duplicate_pairs(distances, places, inside=False)
closest = np.argsort(distances[:, 0], kind="stable")[:8]
rows = {"test": pixels[closest], "train": run.data().train.take(torch.from_numpy(places[closest, 0])).numpy()}
words = [[f"distance {distances[at, 0]:.4f}" for at in closest], [""] * len(closest)]
show(
    rows,
    f"The nearest pairs of a test and a training image; a copy is looked for below {leaks.threshold:.4f}",
    "duplicates",
    words,
)
some = np.linspace(0, len(pixels) - 1, 100).round().astype(int)
copies = {
    "rounded to 32 levels": pixels[some] // 8 * 8 + 4,
    "mirrored": pixels[some][..., ::-1].copy(),
    "shifted by a pixel": np.roll(pixels[some], 1, axis=3),
}
recovered = []
for kind, copy in copies.items():
    away, at = nearest(run.model.embed(copy), z, 1, distance="cosine")
    hits = int(((at[:, 0] == some) & (away[:, 0] <= leaks.threshold)).sum())
    low, high = wilson(hits, len(some))
    recovered.append(f"{kind} {hits / len(some):.0%} (95 % interval {low:.0%} to {high:.0%})")
answers["duplicates"] = (
    f"{len(leaks.pairs):,} of {len(z):,} test images have a training image below the threshold. Of 100 copies of each kind are found: "
    f"{', '.join(recovered)}."
)
print(answers["duplicates"])

# %% [markdown]
# ## 6. Suspected labels: which label may be wrong?
#
# A label is suspected where an image's neighbours speak more clearly for another class. How far to trust that is measured: 5 % of
# the labels are replaced by wrong ones, the same ones for both encoders, and it is counted how many of these are found. A
# suspect is a reason to look, no more: an image that the encoder does not understand is suspected too.

# %%
issues = {name: lw.evaluation.label_issues(places, labels, k=min(20, len(z) - 1)) for name, places in spaces.items()}
suspects = rank_suspects(z, labels, issues["SimCLR"])[0][:16]
rows, words = {}, []
for start in range(0, len(suspects), 8):
    line = suspects[start : start + 8]
    rows[f"{start + 1} to {start + len(line)}"] = pixels[np.resize(line, 8)]
    words.append([f"{names[labels[at]]}\n{names[issues['SimCLR'].suggested[at]]}?" for at in np.resize(line, 8)])
show(rows, "The surest suspects: the label, and below it what the neighbours say", "suspected_labels", words)
planted = round(0.05 * len(z))
bounds = {name: wilson(round(each.planted_recall * planted), planted) for name, each in issues.items()}
(low, high), (low_random, high_random) = bounds.values()
answers["labels"] = "of the planted wrong labels are found: " + ", ".join(
    f"{name} {each.planted_recall:.1%} (95 % interval {bounds[name][0]:.1%} to {bounds[name][1]:.1%}; {each.planted_precision:.1%} of its "
    "suspects are planted)"
    for name, each in issues.items()
)
answers["labels"] += (
    "." if low > high_random or high < low_random else ". The intervals overlap: no statement on who finds more."
)
print(answers["labels"])

# %% [markdown]
# ## Answers, from what was measured

# %%
for use, answer in answers.items():
    print(f"- {use}: {answer}")
print("One run was looked at: the intervals are over its test images, and another seed may differ by more.")
print(
    f"`likewise report FOLDER` draws the report of a run: {', '.join(str(each.folder) for each in encoders.values())}"
)
