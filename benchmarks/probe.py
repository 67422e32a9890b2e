"""What frozen encoders know of CIFAR-10's classes: a linear classifier on each, and zero-shot from captions alone.

    python benchmarks/probe.py [--data cifar10] [--clip runs/flickr8k] [--labelled 5000] [--test 8000] [--resolution 96]

The course sheet's split: 5,000 labelled images, of which a tenth chooses the probe's strength and the rest trains it, and
8,000 to test; drawn once. The rows:

- ``pretrained``: EfficientNet-Lite0 with ImageNet weights (``likewise[clip]``), the image tower of ``flickr8k-clip`` before it;
- ``CLIP``: the image embeddings of a run with captions (``--clip``), and its zero-shot accuracy from the class names;
- ``autoencoder``: the encoder of ``cifar10-autoencoder``, trained here on the training images without their labels;
- ``random``: both encoders as they are drawn.

Features of the encoder are probed, not the layer behind it; those of the CLIP run are its embeddings. Intervals are Wilson's,
at 95 %, over test images. Target: the pretrained tower at 75 % or more.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import likewise as lw
from likewise.data.prompts import class_prompts
from likewise.evaluation import linear_probe, prompt_ensemble, wilson, zero_shot
from likewise.models import EfficientNetLiteOptions, EmbeddingModel, InputSpec

TARGET = 0.75
TEMPLATES = ("a photo of a {}.", "a picture of a {} .", "a {} .")
Rows = NDArray[np.float32]


class Images:
    """Labelled images for the probe, a tenth of them to choose on, and test images."""

    def __init__(self, source: str, labelled: int, test: int) -> None:
        draws = torch.Generator().manual_seed(0)
        train, held_out = lw.load_dataset(source, "train"), lw.load_dataset(source, "test")
        chosen = torch.randperm(len(train), generator=draws)[:labelled]
        self.class_names = train.class_names
        self.parts = {
            "validation": train.subset(chosen[: labelled // 10]),
            "train": train.subset(chosen[labelled // 10 :]),
            "test": held_out.subset(torch.randperm(len(held_out), generator=draws)[:test]),
        }

    def probe(self, features: Callable[[Tensor], Rows]) -> dict[str, Any]:
        """Accuracy of the linear probe on what ``features`` makes of uint8 images."""
        rows = {}
        for name, data in self.parts.items():
            parts = [features(images) for _, images in data.batches(torch.arange(len(data)).split(250))]
            assert data.labels is not None
            rows[name] = np.concatenate(parts), data.labels
        found = linear_probe(rows["train"], rows["validation"], rows["test"])
        return {"accuracy": found.accuracy, "interval": found.interval, "features": rows["test"][0].shape[1]}


def tower(pretrained: bool, resolution: int) -> Callable[[Tensor], Rows]:
    torch.manual_seed(0)
    options = EfficientNetLiteOptions(pretrained=pretrained, resolution=resolution)
    mean, std = EfficientNetLiteOptions(pretrained=True).pixel_statistics or ((0.5,) * 3, (0.5,) * 3)
    spec = InputSpec(channels=3, height=32, width=32, mean=mean, std=std)
    return encoder_of(EmbeddingModel(options, spec, embedding_dim=2))


def encoder_of(model: EmbeddingModel) -> Callable[[Tensor], Rows]:
    model.eval()

    @torch.inference_mode()
    def features(images: Tensor) -> Rows:
        return model.features(images).float().numpy()

    return features


def from_captions(folder: Path, images: Images) -> dict[str, Any]:
    """Zero-shot accuracy of a run with captions, and the probe on its embeddings."""
    model = lw.load_model(folder)
    prompts = class_prompts(images.class_names, TEMPLATES)
    flat = model.embed_text([sentence for given in prompts for sentence in given])
    classes = prompt_ensemble(flat.reshape(len(prompts), len(TEMPLATES), -1))
    embedded: list[Rows] = []

    def embeddings(batch: Tensor) -> Rows:
        embedded.append(model.embed(batch))
        return embedded[-1]

    found = images.probe(embeddings)
    test = images.parts["test"]
    assert test.labels is not None
    result = zero_shot(np.concatenate(embedded)[-len(test) :], classes, test.labels)
    right = round(result.accuracy * len(test))
    return found | {"zero_shot": result.accuracy, "zero_shot_interval": wilson(right, len(test))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--labelled", type=int, default=5000)
    parser.add_argument("--test", type=int, default=8000)
    parser.add_argument("--resolution", type=int, default=96)
    parser.add_argument("--epochs", type=int, default=12, help="of the autoencoder")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "probe.json")
    options = parser.parse_args()
    images = Images(options.data, options.labelled, options.test)
    rows: dict[str, dict[str, Any]] = {}

    def row(name: str, measure: Callable[[], dict[str, Any]]) -> None:
        began = time.perf_counter()
        found = rows[name] = measure() | {"seconds": round(time.perf_counter() - began, 1)}
        low, high = found["interval"]
        shown = f"{name:36s} probe {found['accuracy']:6.1%} ({low:.1%} to {high:.1%})"
        if "zero_shot" in found:
            low, high = found["zero_shot_interval"]
            shown += f", zero-shot {found['zero_shot']:6.1%} ({low:.1%} to {high:.1%})"
        print(f"{shown}, {found['features']:,} features, {found['seconds']:.0f} s", flush=True)

    row("pretrained EfficientNet-Lite0", lambda: images.probe(tower(True, options.resolution)))
    row("random EfficientNet-Lite0", lambda: images.probe(tower(False, options.resolution)))
    with tempfile.TemporaryDirectory() as folder:
        for name, epochs in (("autoencoder", options.epochs), ("random, as the autoencoder", 0)):

            def trained(name: str = name, epochs: int = epochs) -> dict[str, Any]:
                run = lw.train(
                    "cifar10-autoencoder",
                    Path(folder) / name,
                    data=options.data,
                    epochs=epochs,
                    min_steps=0,
                    projection="pca",
                    quiet=True,
                )
                return images.probe(encoder_of(run.model))

            row(name, trained)
    if options.clip:
        row(f"CLIP ({options.clip.name})", lambda: from_captions(options.clip, images))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    document = {"torch": torch.__version__, "resolution": options.resolution, "target": TARGET, "rows": rows}
    options.out.write_text(json.dumps(document | {"load": os.getloadavg()[0]}, indent=1) + "\n")
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
