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
# # Lab 2b: six tasks made from images
#
# Contrast is one task that can be made from images which nobody labelled. There are others: turn an image and ask by how much,
# cover a part and ask what was there. Two questions:
#
# 1. What is each task asked, and what does the network answer?
# 2. Which task teaches the same encoder most about classes that it never hears of?
#
# | task | what is asked | the answer |
# | --- | --- | --- |
# | contrastive (SimCLR) | which of these is another view of the same image? | an embedding |
# | rotation | by which quarter turn was it rotated? | one of 4 classes |
# | jigsaw | in which order do the tiles lie? | one of so many orders |
# | colorization | which colours has this grey image? | a colour class for each place |
# | masking | what is under the covered patches? | pixels |
# | super-resolution | what was the image before it was reduced? | pixels |
#
# It runs as a script or opens in Jupyter. `LIKEWISE_BUDGET` is `smoke` (three of the tasks), `laptop` (default: seven runs, one of
# them without training) or `paper` (a GPU). `LIKEWISE_LAB_CIFAR` may name another source of small images, `LIKEWISE_LAB_SEEDS`
# another number of seeds than 1.

# %%
import os
import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

import likewise as lw
from likewise.comparison import compare
from likewise.data.views import draw_views
from likewise.errors import DatasetError
from likewise.recipes import load_recipe
from likewise.report import write_comparison_report

BUDGET = os.environ.get("LIKEWISE_BUDGET", "laptop")
SOURCE = os.environ.get("LIKEWISE_LAB_CIFAR", "cifar10")
SEEDS = int(os.environ.get("LIKEWISE_LAB_SEEDS", "1"))
try:
    test = lw.load_dataset(SOURCE, split="test")
except DatasetError as error:
    print(error)
    SOURCE = "digits"
    test = lw.load_dataset(SOURCE)
    print("CIFAR-10 could not be had. This lab goes on with scikit-learn's digits, 8×8 pixels: its numbers are theirs.")
print(f"{SOURCE}: {len(test):,} images of {test.image_shape}, {test.origin}")
OUT = Path(os.environ.get("LIKEWISE_LAB_OUT", "runs/labs")) / f"2b-{BUDGET}-{Path(SOURCE).name}"
OUT.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## Training
#
# Six tasks and the encoder as it was drawn: the same images, encoder, optimiser and number of images seen for all, so what differs
# is the task. Every cell of the comparison is a run of its own, so an interrupted lab goes on where it was.

# %%
TASKS = {
    "contrastive": "cifar10-simclr",
    "rotation": "cifar10-rotation",
    "jigsaw": "cifar10-jigsaw",
    "colorization": "cifar10-colorization",
    "masking": "cifar10-masking",
    "super-resolution": "cifar10-superresolution",
}
changes: dict[str, object] = {"data.source": SOURCE}
own: dict[str, dict[str, object]] = {}
if BUDGET == "smoke":
    TASKS = {task: TASKS[task] for task in ("contrastive", "jigsaw", "masking")}
    changes |= {"evaluation.projection": "pca", "evaluation.online_probe": False}
if test.image_shape[0] != 3 and TASKS.pop("colorization", None):
    print("These images are grey, so there are no colours to ask for: colorization is left out.")
if SOURCE == "digits":
    changes |= {"data.validation": 0.2, "data.train_size": None, "training.batch_size": 128, "training.flip": False}
    own = {
        "contrastive": {"objective.views": load_recipe("digits-simclr", budget=BUDGET).objective.views.model_dump()},
        "jigsaw": {"objective.grid": 2, "objective.permutations": 24, "objective.jitter": 0},
        "masking": {"objective.patch_size": 2},
        "super-resolution": {"objective.factor": 2},
    }
recipes = {
    task: load_recipe(name, budget=BUDGET).with_overrides(changes | own.get(task, {}))
    for task, name in (TASKS | {"random": "cifar10-random"}).items()
}
result = compare(
    list(recipes.values()), out=OUT / "tasks", seeds=SEEDS
)  # lw.compare would draw a report for each run too
write_comparison_report(OUT / "tasks")
runs = {task: lw.Run.load(result.folder / result.done(recipe.name)[0].folder) for task, recipe in recipes.items()}

# %% [markdown]
# ## 1. What is each task asked, and what does it answer?
#
# Ten test images for each: what was shown, what was right, what the network answered. The contrastive task has no picture for an
# answer, so it is asked here what it was trained for: of ten other views, which one is of the image? (By the cosine of the
# embedding; in training it was that of the projection, and the whole batch was asked.)


# %%
def show(rows: dict[str, np.ndarray], title: str, file: str) -> None:
    """Rows of images (N, C, H, W) under one another, each with its name."""
    zoom = max(1, 64 // next(iter(rows.values())).shape[2])
    strips = []
    for pictures in rows.values():
        tiles = np.pad(pictures.repeat(zoom, 2).repeat(zoom, 3), ((0, 0), (0, 0), (4, 4), (4, 4)), constant_values=255)
        strips.append(np.concatenate(tiles.transpose(0, 2, 3, 1), axis=1))
    paper, step = np.concatenate(strips), len(strips[0])
    height = 9 * paper.shape[0] / paper.shape[1]
    figure = plt.figure(figsize=(9.9, height + 0.6))
    axis = figure.add_axes((0.9 / 9.9, 0, 9 / 9.9, height / (height + 0.6)))
    axis.imshow(paper if paper.shape[2] == 3 else paper[:, :, 0], cmap="gray", vmin=0, vmax=255, aspect="auto")
    axis.set_yticks((np.arange(len(rows)) + 0.5) * step, list(rows))
    axis.tick_params(length=0)
    axis.set_xticks([])
    axis.spines[:].set_visible(False)
    axis.set_title(textwrap.fill(title, 115), fontsize=10, loc="left")
    figure.savefig(OUT / f"{file}.png", dpi=110)
    plt.show()


contrastive = runs["contrastive"]
images = contrastive.data().test
ten = images.take(torch.linspace(0, len(images) - 1, 10).round().long())
views = draw_views(ten, [contrastive.recipe.objective.views] * 2, torch.Generator().manual_seed(0))
first, second = (view.round().byte().numpy() for view in views)
one, two = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in map(contrastive.model.embed, views))
chosen = (one @ two.T).argmax(axis=1)
words = "input: a view; target: the other view of its image; prediction: the most alike of these ten other views."
show({"input": first, "target": second, "prediction": second[chosen]}, f"contrastive. {words}", "task-contrastive")
print(f"contrastive: {(chosen == np.arange(10)).sum()} of these 10 find their own other view; by chance 1 would")
for task in list(TASKS)[1:]:
    objective, history = runs[task].recipe.objective, runs[task].history
    show(runs[task].examples(), f"{task}. {objective.task}", f"task-{task}")
    start, end = history[0], history[-1]
    if "val_task_accuracy" in end:
        choices = getattr(objective, "permutations", 4)
        print(
            f"{task}: {end['val_task_accuracy']:.1%} of the answers on validation are right, by chance {1 / choices:.1%}"
        )
    elif task == "colorization":
        print(
            f"{task}: loss on validation {start['val_loss']:.3f} after the first epoch, {end['val_loss']:.3f} at the end"
        )
    else:
        beside = (
            f"{end['val_bicubic']:.3f} as it is enlarged" if "val_bicubic" in end else "1 is what the mean colour has"
        )
        print(f"{task}: squared error on validation {end['val_loss']:.3f}; {beside}")

# %% [markdown]
# ## 2. Which task teaches most?
#
# Labels measure what was learned without them: a linear classifier on the frozen embedding, and its nearest neighbours. The effective
# rank says how many directions the embedding uses. Seconds are those of training alone.

# %%
COLUMNS = {"linear_probe_accuracy": "linear probe", "knn1_accuracy": "1-NN"}
table = {
    task: {row.metric: row for row in result.summary if row.recipe == recipe.name} for task, recipe in recipes.items()
}
print(f"{'':18}" + "".join(f"{title:>25}" for title in COLUMNS.values()) + f"{'effective rank':>16}{'seconds':>9}")
for task, found in table.items():
    cells = [f"{found[key].mean:.1%} ({found[key].low:.1%} to {found[key].high:.1%})" for key in COLUMNS]
    rank, seconds = found["effective_rank"].mean, found["train_seconds"].mean
    print(f"{task:18}" + "".join(f"{cell:>25}" for cell in cells) + f"{rank:>16.1f}{seconds:>9.0f}")
for name, value in contrastive.evaluation["baselines"].items():
    print(f"{name}: {value:.1%}, without any training")

order = sorted(table, key=lambda task: table[task]["linear_probe_accuracy"].mean)
figure, axes = plt.subplots(1, 2, figsize=(10, 0.9 + 0.42 * len(order)), sharey=True, layout="constrained")
for axis, (key, title) in zip(axes, COLUMNS.items(), strict=True):
    rows = [table[task][key] for task in order]
    bars = [[100 * (row.mean - row.low) for row in rows], [100 * (row.high - row.mean) for row in rows]]
    axis.errorbar([100 * row.mean for row in rows], order, xerr=bars, fmt="o", capsize=4)
    axis.axvline(100 * table["random"][key].mean, color="gray", linestyle="--", linewidth=1)
    axis.set(xlabel=f"{title} on test (%), 95 % intervals")
    axis.grid(alpha=0.3)
axes[0].set_title("dashed: the encoder as it was drawn", fontsize=9, loc="left")
figure.savefig(OUT / "tasks.png", dpi=110)
plt.show()

# %% [markdown]
# ## Answers, from what was measured
#
# Pairs are compared on the same test images. Where the interval of the difference overlaps zero nothing is said.


# %%
def compared(a: str, b: str) -> str:
    """What the interval of the difference of two linear probes supports."""
    row = result.difference(recipes[a].name, recipes[b].name, result.conditions[0].key, "linear_probe_accuracy")
    ahead, behind = (a, b) if row.mean > 0 else (b, a)
    if not row.supported:
        return f"{a} less {b}: no statement (95 % interval {100 * row.low:+.1f} to {100 * row.high:+.1f} points)"
    low, high = sorted((100 * abs(row.low), 100 * abs(row.high)))
    return f"{ahead} is ahead of {behind} by {100 * abs(row.mean):.1f} points (95 % interval {low:.1f} to {high:.1f})"


print("Does a task teach the encoder more than it knew as it was drawn? (linear probe on test)")
for task in TASKS:
    print("-", compared(task, "random"))
print("Is contrast the best of the tasks?")
for task in list(TASKS)[1:]:
    print("-", compared("contrastive", task))
if SEEDS == 1:
    print("One seed was trained: the intervals are over test images, and another seed may differ by more.")
print(
    f"The comparison's report: {result.folder / 'report.html'}; `likewise report FOLDER` draws that of a run in {result.folder / 'cells'}."
)
