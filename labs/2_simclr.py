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
# # Lab 2: SimCLR, taken apart
#
# Nobody labels anything here. Two random views of one image are to be alike, views of different images are not: that is all
# SimCLR is told. Five questions:
#
# 1. What is a view?
# 2. What does the loss say, and what are its two parts?
# 3. What happens to the two parts while a network learns?
# 4. What does the temperature do?
# 5. What happens when two views only attract each other?
#
# Lab 2b goes on with other tasks that can be made from images, lab 2c with what embeddings are good for.
#
# It runs as a script or opens in Jupyter. `LIKEWISE_BUDGET` is `smoke`, `laptop` (default: six runs) or `paper` (a GPU).
# `LIKEWISE_LAB_CIFAR` may name another source of small images, `LIKEWISE_LAB_SEEDS` another number of seeds than 1.

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F

import likewise as lw
from likewise import losses
from likewise.data.views import ViewOptions, draw_views
from likewise.errors import DatasetError
from likewise.recipes import load_recipe

BUDGET = os.environ.get("LIKEWISE_BUDGET", "laptop")
SOURCE = os.environ.get("LIKEWISE_LAB_CIFAR", "cifar10")
SEEDS = int(os.environ.get("LIKEWISE_LAB_SEEDS", "1"))
BASE, COLLAPSE = "cifar10-simclr", "cifar10-collapse"
TEMPERATURES = {"smoke": [0.05, 1.0]}.get(BUDGET, [0.05, 0.1, 0.2, 0.5, 1.0])
changes: dict[str, object] = {"evaluation.projection": "pca"} if BUDGET == "smoke" else {}
try:
    test = lw.load_dataset(SOURCE, split="test")
except DatasetError as error:
    print(error)
    SOURCE, BASE = "digits", "digits-simclr"
    test = lw.load_dataset(SOURCE)
    changes |= {"data.validation": 0.2, "data.train_size": None}
    print("CIFAR-10 could not be had. This lab goes on with scikit-learn's digits, 8×8 pixels: its numbers are theirs.")
print(f"{SOURCE}: {len(test):,} images of {test.image_shape}, {test.origin}")
OUT = Path(os.environ.get("LIKEWISE_LAB_OUT", "runs/labs")) / f"2-{BUDGET}-{Path(SOURCE).name}"
OUT.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## 1. What is a view?
#
# A random crop, perhaps mirrored, with its colours jittered, perhaps without colour. What a view keeps is what the network
# may use; what it destroys, the network learns to ignore.

# %%
base = load_recipe(BASE, budget=BUDGET).with_overrides({"data.source": SOURCE})
views: ViewOptions = base.objective.views
images = test.take(torch.arange(6))
shown = [images.float(), *draw_views(images, [views] * 7, torch.Generator().manual_seed(0))]
figure, axes = plt.subplots(6, 8, figsize=(9, 7), layout="constrained")
for row in range(6):
    for column in range(8):
        picture = shown[column][row].round().byte().permute(1, 2, 0).numpy()
        axes[row, column].imshow(picture.squeeze(), cmap="gray_r" if picture.shape[2] == 1 else None, vmin=0, vmax=255)
        axes[row, column].axis("off")
axes[0, 0].set_title("image", fontsize=10)
axes[0, 1].set_title("seven views", fontsize=10, loc="left")
figure.savefig(OUT / "views.png", dpi=110)
plt.show()

# %% [markdown]
# ## 2. What does the loss say?
#
# Of a batch of $N$ images there are $2N$ views. View $i$ has one positive $p$, the other view of its image; all others are
# negatives. With the cosine similarity $s$ and a temperature $t$ the loss of a view is a cross-entropy: which of the others is
# mine?
#
# $$\mathcal{L}_i = -\log \frac{\exp(s_{ip}/t)}{\sum_{k \neq i} \exp(s_{ik}/t)}.$$
#
# Written out it is two terms (Chen, Luo & Li 2021): **alignment** pulls the two views together, **distribution** is large where
# many views lie close.
#
# $$t\,\mathcal{L} = \underbrace{-\tfrac{1}{2N}\sum_i s_{ip}}_{\text{alignment}}
#   + \underbrace{\tfrac{t}{2N}\sum_i \log \sum_{k \neq i} \exp(s_{ik}/t)}_{\text{distribution}}$$
#
# Three cases that can be worked out by hand, for $N = 4$: all views the same; every image its own direction, both views on it;
# and every view its own direction.

# %%
N, T = 4, 0.5
same, own = torch.ones(N, 2 * N), torch.eye(2 * N)
cases = {
    "all views one point": (same, same),
    "each image its own direction": (own[:N], own[:N]),
    "each view its own direction": (own[:N], own[N:]),
}
print(f"{'':30}{'loss':>8}{'alignment':>11}{'distribution':>14}")
for name, (first, second) in cases.items():
    pull, spread = losses.nt_xent_decomposition(first, second, temperature=T)
    print(f"{name:30}{losses.nt_xent_loss(first, second, temperature=T):8.3f}{pull + 0.0:11.3f}{spread:14.3f}")
print(
    f"By hand: log 7 = {np.log(7):.3f};  log(1 + 6·exp(-2)) = {np.log(1 + 6 * np.exp(-2)):.3f};  log 7 = {np.log(7):.3f}"
)

# %% [markdown]
# A network that has collapsed and one that knows nothing have the same loss. Their parts tell them apart.
#
# ## 3. What happens to the parts while a network learns?


# %%
def at(temperature: float) -> lw.Recipe:
    name = f"temperature-{temperature:g}".replace(".", "_")
    settings = {"name": name, "title": f"temperature {temperature:g}", "objective.temperature": temperature}
    return base.with_overrides(settings | changes)


sweep = lw.compare([at(t) for t in TEMPERATURES], out=OUT / "temperatures", seeds=SEEDS)
every = {t: [lw.Run.load(sweep.folder / cell.folder) for cell in sweep.done(at(t).name)] for t in TEMPERATURES}
runs = {t: seeds[0] for t, seeds in every.items()}
middle = runs[min(TEMPERATURES, key=lambda t: abs(t - base.objective.temperature))]


def curve(run: lw.Run, name: str) -> list[float]:
    return [line[name] for line in run.history]


figure, axes = plt.subplots(1, 3, figsize=(12, 3.4), layout="constrained")
epochs = curve(middle, "epoch")
axes[0].plot(epochs, curve(middle, "val_alignment"), marker="o", label="alignment")
axes[0].plot(epochs, curve(middle, "val_distribution"), marker="o", label="distribution")
axes[0].set_title(f"the two parts of the loss, t = {middle.recipe.objective.temperature:g}")
axes[0].legend()
axes[1].plot(epochs, curve(middle, "val_uniformity"), marker="o", color="C2")
axes[1].set_title("uniformity of the projections")
axes[2].plot(epochs, curve(middle, "val_effective_rank"), marker="o", color="C3")
axes[2].set_title("effective rank of the embedding")
for axis in axes:
    axis.set_xlabel("epoch (validation images)")
    axis.grid(alpha=0.3)
figure.savefig(OUT / "parts.png", dpi=110)
plt.show()

# %% [markdown]
# ## 4. What does the temperature do?
#
# At a low temperature only the nearest negatives count, and the space becomes even down to its smallest corners; at a high one
# all negatives count alike. The histograms show the cosine similarity of embeddings: of two views of one image, and of views of
# different images, both from the test set. "In order" is the share of comparisons in which the pair of one image is the more alike.

# %%
held_out = middle.data().test
some = held_out.take(torch.arange(min(1000, len(held_out))))
pair = draw_views(some, [views, views], torch.Generator().manual_seed(1))
figure, axes = plt.subplots(
    1, len(runs), figsize=(3 * len(runs), 2.8), sharey=True, layout="constrained", squeeze=False
)
apart = {}
for axis, (t, run) in zip(axes[0], runs.items(), strict=True):
    first, second = (F.normalize(torch.from_numpy(run.model.embed(view))) for view in pair)
    positive = (first * second).sum(dim=1).numpy()
    negative = (first @ second.T)[~torch.eye(len(first), dtype=torch.bool)].numpy()
    apart[t] = float((positive[:, None] > np.random.default_rng(0).choice(negative, 2000)[None]).mean())
    for values, label in ((negative, "different images"), (positive, "one image")):
        axis.hist(values, bins=np.linspace(-1, 1, 61), density=True, alpha=0.65, label=label)
    axis.set_title(f"t = {t:g}: {apart[t]:.1%} in order", fontsize=10)
    axis.set_xlabel("cosine similarity")
axes[0, 0].set_ylabel("density")
axes[0, 0].legend(fontsize=8)
figure.savefig(OUT / "similarities.png", dpi=110)
plt.show()

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
found = {row.recipe: row for row in sweep.summary if row.metric == "linear_probe_accuracy"}
probe = {t: found[at(t).name] for t in TEMPERATURES}
means = [row.mean for row in probe.values()]
bounds = np.array([[row.low, row.high] for row in probe.values()])
axes[0].errorbar(TEMPERATURES, means, yerr=np.abs(bounds.T - means), marker="o", capsize=3)
axes[0].set(xscale="log", xlabel="temperature", ylabel="linear probe on test", xticks=TEMPERATURES)
axes[0].set_xticklabels([f"{t:g}" for t in TEMPERATURES])
axes[0].minorticks_off()
last = {t: run.history[-1] for t, run in runs.items()}
place = np.array([[line["val_pair_distance"], line["val_uniformity"]] for line in last.values()])
drawn = axes[1].scatter(*place.T, c=np.log(TEMPERATURES), s=60, cmap="viridis")
for t, point in zip(TEMPERATURES, place, strict=True):
    axes[1].annotate(f"t = {t:g}", point, xytext=(0, 8), textcoords="offset points", ha="center")
axes[1].set(xlabel="alignment: distance² of a pair", ylabel="uniformity (lower is more even)")
axes[1].margins(0.2)
for axis in axes:
    axis.grid(alpha=0.3)
figure.savefig(OUT / "temperature.png", dpi=110)
plt.show()

# %% [markdown]
# ## 5. What happens when two views only attract each other?
#
# SimSiam (Chen & He 2021) has no negatives. It keeps the space open by a stop-gradient and a predictor: one view, through the
# predictor, is to say what the other is, which is taken as given. Without either of the two it collapses (their figure 2 and table 1).
# `cifar10-collapse` takes the stop-gradient away and keeps the predictor. It also leaves out the projector between embedding and
# loss, so that what collapses is the embedding itself, which is what is measured here, and, but for `paper`, trains at a large rate
# without weight decay, so that a few epochs are enough. Nothing then keeps the two views from agreeing on one answer for all images, the best
# alignment there is. Do they?

# %%
settings = changes | {"data.source": SOURCE}
if SOURCE == "digits":
    settings |= {"objective.views": views.model_dump(), "training.batch_size": 128, "training.min_steps": 200}
    settings |= {"encoder": base.encoder.model_dump(), "embedding_dim": base.embedding_dim}
collapse = load_recipe(COLLAPSE, budget=BUDGET).with_overrides(settings)
fallen = lw.train(collapse, OUT / "collapse", resume=(OUT / "collapse" / "recipe.yaml").exists())
for warning in fallen.warnings:
    print("-", warning)
figure, axis = plt.subplots(figsize=(6, 3.4), layout="constrained")
for label, run in (("SimCLR", middle), ("SimSiam without stop-gradient and projector", fallen)):
    z = run.embeddings("test").embeddings
    values = np.linalg.svd(z / np.linalg.norm(z, axis=1, keepdims=True), compute_uv=False)
    axis.semilogy(np.arange(1, len(values) + 1), values / values[0], label=label)
axis.set(xlabel="direction", ylabel="singular value / largest", ylim=(1e-6, 2))
axis.grid(alpha=0.3)
axis.legend()
figure.savefig(OUT / "collapse.png", dpi=110)
plt.show()

# %% [markdown]
# ## Answers, from what was measured

# %%
order = sorted(TEMPERATURES, key=lambda t: probe[t].mean, reverse=True)
best, second_best = order[0], order[1]
low_t, high_t = sorted((best, second_best))
gap = sweep.difference(at(low_t).name, at(high_t).name, sweep.conditions[0].key, "linear_probe_accuracy")
print(
    "Which temperature is best for a linear probe? "
    + ", ".join(f"{t:g}: {row.mean:.1%} ({row.low:.1%} to {row.high:.1%})" for t, row in probe.items())
    + f". {low_t:g} less {high_t:g} on the same test images: {100 * gap.mean:+.1f} points, 95 % interval {100 * gap.low:+.1f} to "
    f"{100 * gap.high:+.1f}: "
    + (f"{best:g} is ahead of the next." if gap.supported else f"no statement between {best:g} and {second_best:g}.")
    + (" One seed was trained: another may differ by more." if SEEDS == 1 else "")
)
ends = {t: np.array([run.history[-1]["val_uniformity"] for run in seeds]) for t, seeds in every.items()}
evenest, next_even = sorted(TEMPERATURES, key=lambda t: ends[t].mean())[:2]
print(
    "Which temperature spreads the projections most evenly (lowest uniformity)? "
    + ", ".join(f"{t:g}: {values.mean():.2f}" for t, values in ends.items())
    + "."
)
if SEEDS == 1:
    print("One seed gives no interval for it: no statement on a winner.")
else:
    mean, low, high = lw.evaluation.mean_interval(ends[evenest] - ends[next_even])
    print(
        f"{evenest:g} less {next_even:g} over the seeds: {mean:+.2f}, 95 % interval {low:+.2f} to {high:+.2f}: "
        + (f"{evenest:g} is the most even." if high < 0 else "no statement.")
    )
parts = middle.history
baselines = ", ".join(f"{name} {value:.1%}" for name, value in middle.evaluation["baselines"].items())
print(
    f"Which part moves? From epoch {parts[0]['epoch']} to {parts[-1]['epoch']}: alignment {parts[0]['val_alignment']:.3f} to "
    f"{parts[-1]['val_alignment']:.3f}, distribution {parts[0]['val_distribution']:.3f} to {parts[-1]['val_distribution']:.3f}."
)
print(
    f"Does the alarm see the collapse? {'Yes' if fallen.metrics['collapsed'] else 'No'}: effective rank "
    f"{fallen.metrics['effective_rank']:.2f} against SimCLR's {middle.metrics['effective_rank']:.1f}, nearest neighbour "
    f"{fallen.metrics['knn1_accuracy']:.1%} against {middle.metrics['knn1_accuracy']:.1%} ({baselines})."
)
print(f"Reports with every picture: {sweep.folder / 'report.html'} and {fallen.folder / 'report.html'}")
