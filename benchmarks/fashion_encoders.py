"""How good is the nearest neighbour after so many seconds of training on Fashion-MNIST?

    .venv/bin/python benchmarks/fashion_encoders.py [--seeds 3] [--tiers 10,25,90,180]

Each tier is one setting of the recipe ``fashion-crossentropy``, chosen on validation. Every run trains on 55,000 of the
60,000 training images; 1-NN (Euclidean) takes them as its gallery and the 10,000 test images as its queries. Seconds are
those of the training steps (data, augmentation and compilation in them, validation and evaluation not). Beside it: what raw
pixels reach, the machine's matrix-product peak measured in the same run, the share of it that training reaches, and where the
rest goes.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

import likewise as lw
from likewise.evaluation.intervals import mean_interval
from likewise.objectives import Batch
from likewise.recipe import Recipe
from likewise.training.build import build_model
from likewise.training.optimizers import build_optimizer
from likewise.training.run import data_of
from likewise.training.train import resolve

RESULTS = Path(__file__).parent / "results" / "fashion_encoders.json"
TARGETS = {10: 0.87, 25: 0.89, 90: 0.905, 180: 0.915}
TIERS: dict[int, dict[str, Any]] = {
    10: {"epochs": 1},
    25: {"encoder.widths": (32, 48, 96)},
    90: {"encoder.widths": (32, 48, 96), "epochs": 6, "flip": True},
    180: {"encoder.widths": (32, 48, 96), "epochs": 14, "flip": True, "shift": 1, "evaluation.mirrored": True},
}
KINDS = {
    "convolution": ("convolution", "conv"),
    "batch normalisation": ("batch_norm",),
    "pooling": ("pool",),
    "activation": ("relu", "gelu", "silu", "threshold"),
    "linear": ("addmm", "mm"),
    "optimiser": ("_foreach", "adam"),
    "loss": ("log_softmax", "nll_loss"),
}


def matmul_peak(size: int = 2048, rounds: int = 15, dtype: torch.dtype = torch.float32) -> float:
    """Best of the machine's matrix products in that type, in FLOP/s."""
    a, b = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best


def step_anatomy(recipe: Recipe, steps: int = 20) -> dict[str, Any]:
    """Floating-point operations of an image, forward and backward, and the share of a step each kind of work takes."""
    data = lw.load_dataset(recipe.data.source)
    images, labels = data.images, data.labels
    model = build_model(recipe, data_of(recipe))
    objective = recipe.objective.build(model)
    optimizer = build_optimizer(recipe.training, objective)
    size = recipe.training.batch_size

    def step(index: int) -> None:
        chosen = torch.arange(index * size, (index + 1) * size) % len(data)
        loss = objective(images[chosen], Batch(chosen, labels[chosen]))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    with FlopCounterMode(display=False) as counter:
        step(0)
    for index in range(3):
        step(index)
    return {
        "flop_per_image": counter.get_total_flops() / size,
        "share_of_step": shares_of(step, steps),
    }


def shares_of(step: Callable[[int], object], steps: int) -> dict[str, float]:
    """The share of the time of ``steps`` steps that each kind of work takes, the largest first."""
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for index in range(steps):
            step(index)
    shares: dict[str, float] = {}
    total = 0.0
    for event in profiled.key_averages():
        spent = event.self_cpu_time_total
        total += spent
        kind = next((k for k, words in KINDS.items() if any(word in event.key.lower() for word in words)), "other")
        shares[kind] = shares.get(kind, 0.0) + spent
    return {k: round(v / total, 3) for k, v in sorted(shares.items(), key=lambda item: -item[1])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tiers", default="10,25,90,180", help="seconds, with commas")
    parser.add_argument("--out", type=Path, default=None, help="keep the runs in this folder")
    options = parser.parse_args()
    out = options.out or Path(tempfile.mkdtemp(prefix="fashion-encoders-"))
    peak = matmul_peak()
    report: dict[str, Any] = {
        "machine": platform.platform(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "matmul_peak_gflops": round(peak / 1e9, 1),
        "tiers": {},
    }
    print(f"matrix-product peak {peak / 1e9:.0f} GFLOP/s (float32, {torch.get_num_threads()} threads)\n")
    print("| target | training seconds | 1-NN validation | 1-NN test | 95 % interval | images/s | of peak |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    baselines: dict[str, float] = {}
    for tier in map(int, options.tiers.split(",")):
        recipe = resolve("fashion-crossentropy", budget="laptop", overrides=TIERS[tier])
        anatomy = step_anatomy(recipe)
        runs = [
            lw.training.train(recipe, out / f"{tier}s-seed-{seed}", seed=seed, quiet=True)
            for seed in range(options.seeds)
        ]
        test = [run.metrics["knn1_accuracy"] for run in runs]
        validation = [run.metrics["val_knn1_accuracy"] for run in runs]
        seconds = [run.metrics["train_seconds"] for run in runs]
        rate = statistics.median(run.metrics["images_per_second"] for run in runs)
        low, high = mean_interval(test)[1:] if len(test) > 1 else runs[0].evaluation["intervals"]["knn1_accuracy"]
        baselines = runs[0].evaluation["baselines"]
        share = rate * anatomy["flop_per_image"] / peak
        report["tiers"][tier] = {
            "target": TARGETS[tier],
            "recipe": recipe.model_dump(mode="json"),
            "seconds": seconds,
            "test": test,
            "validation": validation,
            "images_per_second": rate,
            "share_of_peak": share,
            **anatomy,
        }
        print(
            f"| {TARGETS[tier]:.1%} after {tier} s | {statistics.median(seconds):.1f} ({min(seconds):.1f}–{max(seconds):.1f}) "
            f"| {statistics.mean(validation):.2%} | {statistics.mean(test):.2%} | {low:.2%}–{high:.2%} "
            f"| {rate:,.0f} | {share:.0%} |",
            flush=True,
        )
        RESULTS.write_text(json.dumps(report | {"baselines": baselines}, indent=2) + "\n")
    print("\nwithout training:", ", ".join(f"{name} {value:.2%}" for name, value in baselines.items()))
    for tier, row in report["tiers"].items():
        spent = ", ".join(f"{kind} {share:.0%}" for kind, share in row["share_of_step"].items())
        print(f"{tier} s: {row['flop_per_image'] / 1e6:.1f} MFLOP an image forward and backward; a step: {spent}")


if __name__ == "__main__":
    main()
