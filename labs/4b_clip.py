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
# Two networks, one for images and one for texts, learn to put an image and its caption in the same place. Six questions:
#
# 1. What do the loss's two equations say, and what does the library compute?
# 2. Does a sentence find its picture among all test pictures?
# 3. Does the model understand combinations of words that it never saw together?
# 4. Do the names of classes classify pictures, without a classifier, and are they right as often as they say?
# 5. What does the image tower know of classes that it was told of in captions alone: a linear probe before and after?
# 6. What are two captions that say the same to the loss?
#
# The pictures are generated shapes with true captions, so that all of them may be shown and nothing is downloaded. The lab runs as a
# script or opens in Jupyter. `LIKEWISE_BUDGET` is `smoke` or `laptop` (default). With captions of your own set
# `LIKEWISE_LAB_CAPTIONS` to their table. `LIKEWISE_LAB_SEEDS` is the number of seeds of question 6 (default 1).

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F

import likewise as lw
from likewise import losses, training
from likewise.comparison.statistics import paired_differences
from likewise.data.prompts import class_prompts
from likewise.models import EmbeddingModel

BUDGET = os.environ.get("LIKEWISE_BUDGET", "laptop")
SOURCE = os.environ.get("LIKEWISE_LAB_CAPTIONS", "shapes")
SEEDS = int(os.environ.get("LIKEWISE_LAB_SEEDS", "1"))
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
computed = losses.clip_loss(image, text, temperature=temperature)
print(f"by hand {by_hand:.6f}, losses.clip_loss {computed:.6f}")

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
# ## 4. Class names in the place of a classifier
#
# With $f$ for images, $g$ for texts and $t_i$ a sentence with the name of class $i$, a picture $x$ is of class
#
# $$c(x) = \arg\max_i \cos\bigl(f(x),\; g(t_i)\bigr).$$
#
# Several sentences of a class become one vector: the mean of their normalised embeddings, normalised again. No picture's label is used.
# The probability of a class is $\mathrm{softmax}_i(\cos_i / T)$, with $T$ chosen on the validation pictures. Calibrated means: of the
# pictures that get 70 %, 70 % are right. The calibration error is the mean distance from that, over 15 bins of the largest probability.

# %%
LABELLED = test.labels is not None and bool(test.class_names)
if LABELLED:
    templates = run.recipe.evaluation.templates
    prompts = class_prompts(test.class_names, templates)
    print(
        f"{len(test.class_names)} classes × {len(templates)} sentences, such as {prompts[0][0]!r} and {prompts[-1][-1]!r}"
    )
    sentences = run.model.embed_text([sentence for given in prompts for sentence in given])
    classes = lw.evaluation.prompt_ensemble(sentences.reshape(len(prompts), len(templates), -1))
    found = lw.evaluation.zero_shot(pictures, classes, test.labels)
    checked = run.embeddings("validation")
    fitted = lw.evaluation.fit_temperature(
        lw.evaluation.zero_shot(checked.embeddings, classes, checked.labels).similarities, checked.labels
    )
    error = lw.evaluation.calibration_error(found.similarities, test.labels.numpy(), fitted)
    low, high = run.evaluation["intervals"]["zero_shot_accuracy"]
    print(
        f"zero-shot accuracy {found.accuracy:.1%} (in the run {run.metrics['zero_shot_accuracy']:.1%}, {low:.1%} … {high:.1%})"
    )
    print(
        f"calibration error {error:.3f} (in the run {run.metrics['zero_shot_calibration_error']:.3f}), T = {fitted:.3f}"
    )
    for name, accuracy in sorted(zip(test.class_names, found.per_class, strict=True), key=lambda each: each[1]):
        print(f"  {name:12} {accuracy:.1%}")
    confidence, said = torch.softmax(torch.from_numpy(found.similarities) / fitted, dim=1).max(dim=1)
    right, bins = said == test.labels, (confidence * 15).long().clamp(max=14)
    filled = [part for part in range(15) if (bins == part).any()]
    figure, axis = plt.subplots(figsize=(4.5, 4.5), layout="constrained")
    axis.plot([0, 1], [0, 1], color="gray", linestyle="--", label="calibrated")
    axis.scatter(
        [confidence[bins == part].mean() for part in filled],
        [right[bins == part].float().mean() for part in filled],
        s=[20 + 400 * float((bins == part).float().mean()) for part in filled],
        label="pictures of one bin; larger: more",
    )
    axis.set(
        xlabel="mean probability of the class that is said",
        ylabel="share that is right",
        xlim=(0, 1.04),
        ylim=(0, 1.04),
    )
    axis.grid(alpha=0.3)
    axis.legend(loc="upper left", markerscale=0.5)
    figure.savefig(OUT / "calibration.png", dpi=120)
    plt.show()
else:
    print("This is asked of pictures with labels, and these have none.")

# %% [markdown]
# ## 5. What the image tower knows
#
# A linear classifier on the features of the image tower, which has heard of classes in captions alone: before, as the tower was
# drawn at random, and after. `benchmarks/probe.py` asks the same of photographs, CIFAR-10's: EfficientNet-Lite0 with ImageNet weights, the
# image tower of `flickr8k-clip`, an autoencoder's encoder, and both networks as they are drawn.


# %%
def tower_probe(model):
    """The linear probe on the encoder's features of all splits."""
    splits, rows = run.data(), []
    for data in (splits.train, splits.validation, splits.test):
        with torch.inference_mode():
            parts = [
                model.features(model.input.fitted(images))
                for _, images in data.batches(torch.arange(len(data)).split(250))
            ]
        rows.append((torch.cat(parts).float().numpy(), data.labels))
    return lw.evaluation.linear_probe(*rows)


if LABELLED:
    torch.manual_seed(0)
    drawn = EmbeddingModel(run.model.encoder_options, run.model.input, embedding_dim=2).eval()
    probes = {"before": tower_probe(drawn), "after": tower_probe(run.model)}
    for when, probe in probes.items():
        print(f"{when:7} linear probe {probe.accuracy:.1%} ({probe.interval[0]:.1%} … {probe.interval[1]:.1%})")
    gain = lw.evaluation.paired_bootstrap(
        *(probes[when].predictions == test.labels.numpy() for when in ("after", "before"))
    )
    print(f"difference {gain.difference:+.1%}, 95 % interval {gain.low:+.1%} … {gain.high:+.1%}")

# %% [markdown]
# ## 6. Two captions that say the same
#
# A batch of 240 pictures of 480 descriptions holds many twice. A loss that counts each other pair of the batch as a negative pushes a
# picture away from its own words. `objective.duplicates` decides: `positives` (the default) counts them as what they are, `ignored` is
# the loss of the papers. Both start from the same weights and see the same batches.

# %%
if SOURCE == "shapes":
    steps = {"epochs": 1 if BUDGET == "smoke" else 4, "projection": "pca"}
    shares = {"positives": [], "ignored": []}
    for seed in range(SEEDS):
        for duplicates in shares:
            # At smoke the run of section 2 is the first of all: one epoch with the default.
            same = BUDGET == "smoke" and seed == 0 and duplicates == "positives"
            place = folder if same else OUT / f"{duplicates}-{seed}"
            other = training.train(
                recipe,
                place,
                budget=BUDGET,
                seed=seed,
                objective__duplicates=duplicates,
                resume=place.exists(),
                **steps,
            )
            texts = pq.read_table(place / "records" / "texts.parquet")
            _, group = np.unique(np.asarray(texts["image"]), return_inverse=True)
            # the captions of an image fail together: a sample is an image, its value the share of its captions that find it
            shares[duplicates].append(np.bincount(group, np.asarray(texts["rank"]) == 1) / np.bincount(group))
            print(
                f"seed {seed}, {duplicates:10} text to image recall@1 {other.metrics['text_to_image_recall_at_1']:.1%}"
            )
    gap = paired_differences((np.array(shares["positives"]) - np.array(shares["ignored"]))[None])[0]
    print(f"difference {gap.mean:+.1%}, 95 % interval {gap.low:+.1%} … {gap.high:+.1%}")
else:
    print("This is asked of the shapes alone, whose captions repeat.")

# %% [markdown]
# ## Answers, from what was measured
#
# Intervals are 95 %. Where that of a difference has zero in it, the lab does not say.


# %%
def verdict(low, high):
    """What the interval of a difference says."""
    return "Yes" if low > 0 else "No, it is worse" if high < 0 else "This does not say"


close = bool(torch.isclose(by_hand, computed, rtol=1e-5))
print(
    f"1. Does the library compute the two equations? {'Yes' if close else 'No'}: by hand {by_hand:.6f}, there {computed:.6f}."
)
low, high = run.evaluation["intervals"]["text_to_image_recall_at_1"]
print(
    f"2. Does a sentence find its picture? {run.metrics['text_to_image_recall_at_1']:.1%} of {captions:,} do, at the first place "
    f"({low:.1%} to {high:.1%}); by chance {1 / len(test):.2%} would."
)
groups = {group: f"text_to_image_recall_at_1_{group}" for group in ("seen", "unseen")}
if all(name in run.metrics for name in groups.values()):
    told = {}
    for group, name in groups.items():
        low, high = run.evaluation["intervals"][name]
        told[group] = f"{run.metrics[name]:.1%} ({low:.1%} to {high:.1%})"
    print(
        f"3. Are new combinations understood? Their sentences find their picture in {told['unseen']}, those of training in "
        f"{told['seen']}, chance in {1 / len(test):.2%}."
    )
if LABELLED:
    low, high = run.evaluation["intervals"]["zero_shot_accuracy"]
    largest = np.bincount(test.labels).max() / len(test)
    print(
        f"4. Do class names classify better than one class for all ({largest:.1%})? {verdict(low - largest, high - largest)}: "
        f"{found.accuracy:.1%} ({low:.1%} to {high:.1%}). Probabilities are off by {100 * error:.1f} points on the average."
    )
    print(
        f"5. Does the image tower know more of classes than before? {verdict(gain.low, gain.high)}: {probes['before'].accuracy:.1%} "
        f"before, {probes['after'].accuracy:.1%} after, {100 * gain.difference:+.1f} points ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})."
    )
if SOURCE == "shapes":
    print(
        f"6. Is it better to say which captions say the same? {verdict(gap.low, gap.high)}: {100 * gap.mean:+.1f} points "
        f"({100 * gap.low:+.1f} to {100 * gap.high:+.1f}, {'one seed' if SEEDS == 1 else f'{SEEDS} seeds'})."
    )
print(f"The report with every picture: {run.folder / 'report.html'}")
