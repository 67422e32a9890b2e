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
# # Lab 4b: CLIP, from two equations to searching pictures in words
#
# Two networks, one for images and one for texts, learn to put an image and its caption in the same place. Four questions:
#
# 1. What do the loss's two equations say, and what does the library compute?
# 2. Does a sentence find its picture among all test pictures?
# 3. Does the model understand combinations of words that it never saw together?
# 4. What are two captions that say the same to the loss?
#
# The pictures are generated shapes with true captions, so that all of them may be shown and nothing is downloaded. The lab runs as a
# script or opens in Jupyter. `LIKEWISE_BUDGET` is `smoke` or `laptop` (default). With captions of your own set
# `LIKEWISE_LAB_CAPTIONS` to their table.

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F

import likewise as lw
from likewise import losses

BUDGET = os.environ.get("LIKEWISE_BUDGET", "laptop")
SOURCE = os.environ.get("LIKEWISE_LAB_CAPTIONS", "shapes")
OUT = Path(os.environ.get("LIKEWISE_LAB_OUT", "runs/labs")) / f"4b-{BUDGET}-{Path(SOURCE).name}"
OUT.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## 1. The loss
#
# A batch has $N$ images with embeddings $v_i$ and their captions with embeddings $u_i$, all of length 1, and $\tau$ is a temperature that
# is learned. From caption to image and from image to caption the loss is a cross-entropy over the batch, and the right answer to
# number $i$ is number $i$:
#
# $$\mathcal{L}_{t \to v} = -\frac{1}{N}\sum_i \log \frac{\exp(u_i \cdot v_i / \tau)}{\sum_j \exp(u_i \cdot v_j / \tau)}, \qquad
# \mathcal{L}_{v \to t} = -\frac{1}{N}\sum_i \log \frac{\exp(u_i \cdot v_i / \tau)}{\sum_j \exp(u_j \cdot v_i / \tau)},$$
#
# and $\mathcal{L} = \frac12 (\mathcal{L}_{t \to v} + \mathcal{L}_{v \to t})$. Written out for six random pairs:

# %%
torch.manual_seed(0)
image, text, temperature = torch.randn(6, 8), torch.randn(6, 8), 0.07
logits = F.normalize(text) @ F.normalize(image).T / temperature
right = torch.arange(6)
by_hand = 0.5 * (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right))
print(f"by hand {by_hand:.4f}, losses.clip_loss {losses.clip_loss(image, text, temperature=temperature):.4f}")

# %% [markdown]
# ## 2. Training, and a sentence that finds its picture

# %%
train = lw.load_dataset(SOURCE)
for position in (0, len(train) // 2, len(train) - 1):
    print(train.ids[position], "·", " · ".join(train.captions[position]))
recipe = "clip-shapes" if SOURCE == "shapes" else "captions-clip"
folder = OUT / "run"
quick = {"projection": "pca"} if BUDGET == "smoke" else {}
run = lw.train(recipe, folder, data=SOURCE, budget=BUDGET, resume=folder.exists(), **quick)
names = ["text_to_image_recall_at_1", "text_to_image_recall_at_10", "image_to_text_recall_at_1"]
for name in names:
    low, high = run.evaluation["intervals"][name]
    print(f"{name}: {run.metrics[name]:.1%} ({low:.1%} … {high:.1%})")
test = run.data().test
captions = sum(len(given) for given in test.captions)
print(f"{captions:,} captions against {len(test):,} pictures: by chance recall@1 is {1 / len(test):.2%}")

# %% [markdown]
# A query of one's own: embed the sentence, take the pictures with the largest cosine.

# %%
queries = ["three white stars at the bottom", "something red in the middle", "two green rings"]
if SOURCE != "shapes":
    queries = [test.captions[position][0] for position in (0, 1, 2)]
pictures = run.embeddings("test").embeddings
similarity = run.model.embed_text(queries) @ pictures.T
figure, axes = plt.subplots(len(queries), 5, figsize=(10, 2.4 * len(queries)), layout="constrained")
for row, query in enumerate(queries):
    best = np.argsort(-similarity[row])[:5]
    for axis, position in zip(axes[row], best, strict=True):
        axis.imshow(test.take(torch.tensor([int(position)]))[0].permute(1, 2, 0).squeeze())
        axis.set_title(f"{similarity[row, position]:.2f}", fontsize=9)
        axis.set_axis_off()
    axes[row, 0].set_title("")
    axes[row, 0].set_title(f"{query}\n{similarity[row, best[0]]:.2f}", fontsize=9, loc="left")
figure.savefig(OUT / "queries.png", dpi=120)
plt.show()

# %% [markdown]
# ## 3. Combinations that training never showed
#
# Of the shapes half of the pairs of kind and colour are held out of training: it has red stars and blue circles, say, and no blue
# star. The test has all of them. Were the model a table of sentences, it could not find the new ones.

# %%
for way in ("text_to_image", "image_to_text"):
    for group in ("seen", "unseen"):
        name = f"{way}_recall_at_1_{group}"
        if name in run.metrics:
            low, high = run.evaluation["intervals"][name]
            print(f"{name}: {run.metrics[name]:.1%} ({low:.1%} … {high:.1%})")
records = pq.read_table(run.folder / "records" / "texts.parquet").to_pylist()
worst = sorted(records, key=lambda record: -record["rank"])[:5]
for record in worst:
    print(f"rank {record['rank']:,}: {record['caption']}")

# %% [markdown]
# ## 4. Two captions that say the same
#
# A batch of 240 pictures of 480 descriptions holds many twice. A loss that counts each other pair of the batch as a negative pushes a
# picture away from its own words. `objective.duplicates` decides: `positives` (the default) counts them as what they are, `ignored` is
# the loss of the papers. Both start from the same weights and see the same batches.

# %%
if SOURCE == "shapes":
    steps = {"epochs": 1 if BUDGET == "smoke" else 4, "projection": "pca"}
    found = {}
    for duplicates in ("positives", "ignored"):
        # At smoke the run of section 2 is the first of the two: one epoch with the default.
        place = folder if BUDGET == "smoke" and duplicates == "positives" else OUT / duplicates
        other = lw.train(
            "clip-shapes", place, budget=BUDGET, objective__duplicates=duplicates, resume=place.exists(), **steps
        )
        texts = pq.read_table(place / "records" / "texts.parquet")
        _, group = np.unique(np.asarray(texts["image"]), return_inverse=True)
        # the captions of an image fail together: a sample is an image, its value the share of its captions that find it
        found[duplicates] = np.bincount(group, np.asarray(texts["rank"]) == 1) / np.bincount(group)
        print(f"{duplicates:10} text to image recall@1 {other.metrics['text_to_image_recall_at_1']:.1%}")
    gap = lw.evaluation.paired_bootstrap(found["positives"], found["ignored"])
    print(f"difference {gap.difference:+.1%}, 95 % interval {gap.low:+.1%} … {gap.high:+.1%}")
else:
    print("This is asked of the shapes alone, whose captions repeat.")

# %% [markdown]
# ## Answers, from what was measured

# %%
print(f"Does the library compute the two equations? By hand {by_hand:.4f}, by the library the same.")
low, high = run.evaluation["intervals"]["text_to_image_recall_at_1"]
print(
    f"Does a sentence find its picture? {run.metrics['text_to_image_recall_at_1']:.1%} of {captions:,} do, at the first place "
    f"(95 % interval {low:.1%} to {high:.1%}); by chance {1 / len(test):.2%} would."
)
seen, unseen = (run.metrics.get(f"text_to_image_recall_at_1_{group}") for group in ("seen", "unseen"))
if seen is not None and unseen is not None:
    print(
        f"Are new combinations understood? Their sentences find their picture in {unseen:.1%}, those of training in {seen:.1%}, "
        f"chance in {1 / len(test):.2%}."
    )
if SOURCE == "shapes":
    print(
        "Is it better to say which captions say the same? "
        + (f"Yes, by {gap.difference:.1%}" if gap.supported and gap.difference > 0 else "This does not say")
        + f" (95 % interval {gap.low:+.1%} to {gap.high:+.1%}, one seed)."
    )
print(f"The report with every picture: {run.folder / 'report.html'}")
