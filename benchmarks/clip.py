"""CLIP on frozen towers: what keeping their features saves, and what a batch of 16,384 pairs takes.

    python benchmarks/clip.py [--images 512] [--rounds 3] [--pairs 4096 16384] [--threads 2]

An epoch of heads on EfficientNet-Lite0 at 192 pixels and MiniLM (``likewise[clip]``), both frozen: with their features kept,
and with both towers computed anew in every step, which is what a loop without a cache does; also with the last block of
each trained on what goes into it. Images are random and captions are random words: neither side depends on what they show.
Epochs of the kept kind are timed after the features are there; a ratio is one of medians, rounds interleaved.

Each number of pairs is one step (loss, gradient, optimiser) in a process of its own, whose memory before the step is taken off
its peak; beside it what one matrix of all similarities alone would take.

Target: at least 20 times the epochs per minute; 16,384 pairs in less memory than one such matrix.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import torch

TARGET = 20.0
WORDS = (
    "dog",
    "man",
    "two",
    "red",
    "ball",
    "water",
    "child",
    "runs",
    "white",
    "snow",
    "street",
    "black",
    "grass",
    "jumps",
)
SETTINGS: dict[str, Any] = {
    "name": "benchmark",
    "data": {"source": "none"},
    "encoder": {"name": "efficientnet_lite", "pretrained": True, "resolution": 192},
    "text_encoder": {"name": "transformers", "source": "minilm", "max_tokens": 48},
    "embedding_dim": 512,
    "normalize": "output",
    "objective": {"name": "clip"},
    "training": {"epochs": 1, "batch_size": 256, "freeze": "both", "precision": "32-true"},
}


def pictures(count: int, side: int = 128) -> Any:
    """Random images with five random captions of twelve words each."""
    from likewise.data import ImageDataset

    draws = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 8, 8, generator=draws) * 255
    images = torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear").to(torch.uint8)
    chosen = torch.randint(len(WORDS), (count, 5, 12), generator=draws).tolist()
    captions = tuple(tuple(" ".join(WORDS[word] for word in caption) for caption in given) for given in chosen)
    ids = tuple(map(str, range(count)))
    return ImageDataset("random", "train", images, None, (), captions, ids, f"{count}", "random")


class Job:
    """One objective and how it sees its images."""

    def __init__(self, data: Any, *, kept: bool, blocks: int = 0) -> None:
        from likewise.data import Splits
        from likewise.recipe import Recipe
        from likewise.training.build import build_objective
        from likewise.training.environment import make_fabric
        from likewise.training.frozen import frozen_view

        self.recipe = Recipe.parse(SETTINGS).with_overrides({"image_blocks": blocks, "text_blocks": blocks})
        splits = Splits(data, data, data)
        self.objective = build_objective(self.recipe, splits, Path())
        self.fabric = make_fabric(accelerator="cpu", precision="32-true")
        self.data = frozen_view(self.recipe, self.objective.model)(data) if kept else data
        if not kept:
            self.objective._frozen_texts = None  # type: ignore[assignment]
        else:
            self.data.features  # noqa: B018  # computed now
            self.objective.attend(self.data)

    def epoch(self) -> float:
        """Seconds of one epoch."""
        from likewise.training.loop import fit

        began = time.perf_counter()
        fit(self.recipe, self.data, self.objective, self.fabric, None, None, quiet=True)
        return time.perf_counter() - began


def epochs(images: int, rounds: int) -> dict[str, Any]:
    data = pictures(images)
    jobs = {
        "heads, kept": Job(data, kept=True),
        "last blocks, kept": Job(data, kept=True, blocks=1),
        "computed anew": Job(data, kept=False),
    }
    times: dict[str, list[float]] = {name: [] for name in jobs}
    jobs["heads, kept"].epoch()
    for _ in range(rounds):
        for name, job in jobs.items():
            times[name].append(job.epoch())
    found = {name: statistics.median(values) for name, values in times.items()}
    anew = found["computed anew"]
    for name, value in found.items():
        print(
            f"{name:20s} {value:8.3f} s an epoch of {images:,} images, {60 / value:8.1f} epochs a minute, {anew / value:6.1f} ×"
        )
    return {"images": images, "seconds": found, "ratio": anew / found["heads, kept"], "target": TARGET}


def step(pairs: int, threads: int, out: Any) -> None:
    """One step on kept features of so many pairs: seconds, and megabytes above what was there before."""
    torch.set_num_threads(threads)
    from likewise.losses import clip_loss
    from likewise.models.heads import build_head

    image, text = torch.randn(pairs, 1280), torch.randn(pairs, 384)
    heads = torch.nn.ModuleList([build_head("linear", 1280, 512), build_head("linear", 384, 512)])
    optimizer = torch.optim.AdamW(heads.parameters(), lr=1e-3)
    positives = torch.arange(pairs) // 2

    def run(rows: slice) -> None:
        loss = clip_loss(heads[0](image[rows]), heads[1](text[rows]), temperature=0.07, positives=positives[rows])
        loss.backward()
        optimizer.step()

    run(slice(64))
    before = psutil.Process().memory_info().rss
    began = time.perf_counter()
    run(slice(None))
    seconds = time.perf_counter() - began
    out.send((seconds, peak_megabytes() - before / 2**20))


def peak_megabytes() -> float:
    """This process's own high-water mark: Linux carries ru_maxrss over from the parent."""
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 1024


def large(pairs: int, threads: int) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=step, args=(pairs, threads, there))
    process.start()
    seconds, megabytes = here.recv()
    process.join()
    dense = 4 * pairs**2 / 2**20
    print(
        f"{pairs:7,} pairs: {seconds:6.2f} s a step, {megabytes:7.0f} MB more; one matrix of similarities {dense:7.0f} MB"
    )
    return {"pairs": pairs, "seconds": seconds, "megabytes": megabytes, "matrix_megabytes": dense}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pairs", type=int, nargs="+", default=[4096, 16384])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "clip.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as home:
        os.environ["LIKEWISE_HOME"] = home
        found = {"epochs": epochs(options.images, options.rounds)}
    found["steps"] = [large(pairs, options.threads) for pairs in options.pairs]  # type: ignore[assignment]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    document = {"torch": torch.__version__, "threads": options.threads, **found, "load": os.getloadavg()[0]}
    options.out.write_text(json.dumps(document, indent=1) + "\n")
    print(f"written to {options.out}; load of the machine at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
