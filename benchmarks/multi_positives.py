"""What ids are worth: training on images and captions where captions repeat, with and without them.

    python benchmarks/multi_positives.py [--data shapes] [--loss sigmoid info_nce] [--seeds 5] [--trials 6] [--threads 2]
    python benchmarks/multi_positives.py --data digits --batch-size 128 --epochs 20
    python benchmarks/multi_positives.py --data long-tail --batch-size 128 --epochs 8

``shapes`` has 480 descriptions, fifteen training pictures of each, every one in three phrasings: in a batch of 960 a picture
meets 1.9 others of its description on average. A set with labels gets three captions of each class name instead: of 128 digits
every one meets twelve of its own class. ``long-tail`` is Fashion-MNIST with captions as uneven as those that people write:
of 6,000 training and 3,000 test images the class of rank r has a share in proportion to 1/r.

``positives`` tells the loss by ids which pairs belong together, ``ignored`` makes them negatives of each other, ``apart`` keeps
them out of one batch (which it can up to 480). Where duplicates have the very same words the symmetric InfoNCE cannot tell the
first two from each other: equal texts have equal probabilities, so the terms of the duplicates add up to the same number.
Sigmoid learns with ids how probable it is that a picture and a text belong together, without them that over the
number of duplicates, so what is frequent loses against what is rare.

Each way chooses its learning rate on validation with the same number of trials, and is then trained with every seed; the test
of ``shapes`` shows every description once, half of them of combinations that training never showed, so a caption has one
right picture; with labels an image is to find its class name (zero-shot), and its like among the test images. Printed are the
means over the seeds and the paired differences to ``ignored``: test images resampled, seeds by Student's t. The folder
(``--out``) is a comparison: the same command goes on with it, and its report has every run.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

SHAPES = ("text_to_image_recall_at_1", "text_to_image_recall_at_5", "image_to_text_recall_at_1")
CLASSES = ("zero_shot_accuracy", "recall_at_1", "map_at_r")
PHRASES = ("a photo of a {}", "this is a {}", "one {} in a picture")
MOST_APART = 480  # descriptions of shapes: more pairs that are all different there are not


def write_long_tail(folder: Path, source: str = "fashion-mnist", *, train: int = 6000, test: int = 3000) -> Path:
    """A table of both splits in which the class of rank r has a share in proportion to 1/r."""
    import likewise as lw

    folder.mkdir(parents=True, exist_ok=True)
    draws = np.random.default_rng(0)
    for split, size in (("train", train), ("test", test)):
        data = lw.load_dataset(source, split)
        assert data.labels is not None
        labels = data.labels.numpy()
        shares = 1 / np.arange(1, len(data.class_names) + 1)
        counts = (size * shares / shares.sum()).round().astype(int)
        rows = [draws.permutation(np.flatnonzero(labels == c))[:count] for c, count in enumerate(counts)]
        images, names = [], []
        for at in np.concatenate(rows):
            stream = io.BytesIO()
            Image.fromarray(data.images[at, 0].numpy()).save(stream, "PNG")
            images.append({"bytes": stream.getvalue(), "path": f"{at}.png"})
            names.append(data.class_names[labels[at]])
        pq.write_table(pa.table({"image": images, "label": names}), folder / f"{split}.parquet")
    return folder


def recipes(source: str, loss: str, batch_size: int, epochs: int) -> list[Any]:
    """The shipped recipe with each way to treat duplicates."""
    from likewise.recipes import load_recipe

    shipped = load_recipe("clip-shapes", budget="laptop")
    found = []
    for duplicates in ("positives", "apart", "ignored"):
        if duplicates == "apart" and (source != "shapes" or batch_size > MOST_APART):
            continue
        changes: dict[str, Any] = {
            "name": f"{loss.replace('_', '-')}-{duplicates}",
            "objective.loss": loss,
            "objective.duplicates": duplicates,
            "training.batch_size": batch_size,
            "training.epochs": epochs,
        }
        if source != "shapes":
            changes |= {"data.source": source, "data.validation": 0.2, "data.caption_templates": PHRASES}
            changes |= {"evaluation.templates": PHRASES, "evaluation.queries": ()}
        if loss == "sigmoid":
            changes["objective.temperature"] = 0.1
        found.append(shipped.with_overrides(changes))
    return found


def report(result: Any, shown: tuple[str, ...]) -> None:
    """Means over the seeds, and differences to the recipe without ids."""
    from likewise.comparison import chosen_lines

    for line in chosen_lines(result):
        print(line)
    [condition] = result.conditions
    last = result.recipes[-1].name
    for metric in shown:
        print(f"\n{metric}")
        for recipe in result.recipes:
            values = next(r.values for r in result.summary if (r.recipe, r.metric) == (recipe.name, metric))
            line = f"  {recipe.name:24} {100 * sum(values) / len(values):6.2f} %"
            gap = result.difference(recipe.name, last, condition.key, metric)
            if gap is not None and gap.low is not None:
                line += f"   {100 * gap.mean:+.2f} ({100 * gap.low:+.2f} to {100 * gap.high:+.2f}) against {last}"
            print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="shapes", help="shapes, long-tail, or a source with labels")
    parser.add_argument("--loss", nargs="+", default=["sigmoid", "info_nce"], choices=["sigmoid", "info_nce"])
    parser.add_argument("--batch-size", type=int, default=960)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=None)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    import likewise as lw

    out = chosen.out or Path(tempfile.mkdtemp(prefix="multi-positives-"))
    source = str(write_long_tail(out / "long-tail")) if chosen.data == "long-tail" else chosen.data
    for loss in chosen.loss:
        folder = out / f"{chosen.data}-{loss}-{chosen.batch_size}"
        result = lw.compare(
            recipes(source, loss, chosen.batch_size, chosen.epochs),
            seeds=chosen.seeds,
            trials=chosen.trials,
            out=folder,
            quiet=True,
        )
        print(f"\n== {chosen.data}, {loss}, batches of {chosen.batch_size}, {chosen.epochs} epochs: {folder}")
        report(result, SHAPES if chosen.data == "shapes" else CLASSES)


if __name__ == "__main__":
    main()
