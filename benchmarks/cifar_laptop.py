"""How good is a classifier of CIFAR-10 after so many seconds on two cores, by plain and by supervised contrastive training?

    .venv/bin/python benchmarks/cifar_laptop.py [--data cifar10] [--seeds 2] [--only plain contrastive short]

``plain`` and ``contrastive`` are the recipes ``cifar10-resnet50-crossentropy`` and ``cifar10-resnet50-supcon`` at the budget
``laptop``, ``short`` the former with the epochs that five minutes have room for. Every run trains on 45,000 images; the
accuracy is that of the classifier on the 10,000 test images, the seconds are those of training and those of the whole command.
Beside it: the machine's matrix-product peak in bfloat16 measured in the same run, the share of it that training reaches, and
the images a second of the same network in a plain PyTorch loop.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

import likewise as lw
from fashion_encoders import matmul_peak
from likewise.recipe import Recipe
from likewise.training.build import build_model
from likewise.training.environment import computes_bf16
from likewise.training.run import data_of
from likewise.training.train import resolve

RESULTS = Path(__file__).parent / "results" / "cifar_laptop.json"
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("cifar10-resnet50-crossentropy", {}),
    "contrastive": ("cifar10-resnet50-supcon", {}),
    "short": ("cifar10-resnet50-crossentropy", {"epochs": 4}),
}


def plain_loop(recipe: Recipe, steps: int = 60) -> tuple[float, float]:
    """Images a second of the recipe's network in a loop as a student writes it, and its operations an image."""
    data = data_of(recipe).train
    model = build_model(recipe, data_of(recipe)).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=recipe.training.learning_rate)
    size, pad = recipe.training.batch_size, recipe.training.shift
    mean, std = model.mean, model.std
    times = []
    with FlopCounterMode(display=False) as counter:
        model.classify(model(data.images[:size])).sum().backward()
    for _ in range(steps):
        began = time.perf_counter()
        chosen = torch.randint(0, len(data), (size,))
        images = F.pad((data.images[chosen].float() - mean) / std, (pad,) * 4, mode="reflect")
        images = torch.stack(
            [
                (image.flip(-1) if flip else image)[:, y : y + 32, x : x + 32]
                for image, flip, y, x in zip(
                    images,
                    (torch.rand(size) < 0.5).tolist(),
                    torch.randint(0, 2 * pad + 1, (size,)).tolist(),
                    torch.randint(0, 2 * pad + 1, (size,)).tolist(),
                    strict=True,
                )
            ]
        )
        with torch.autocast("cpu", torch.bfloat16, enabled=computes_bf16()):
            scores = model.classify(model.embedding(model.encoder(images)))
            loss = F.cross_entropy(scores.float(), data.labels[chosen], label_smoothing=0.2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        times.append(time.perf_counter() - began)
    return size / statistics.median(times), counter.get_total_flops() / size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=tuple(RUNS), default=tuple(RUNS))
    parser.add_argument("--out", type=Path, default=None, help="keep the runs in this folder")
    options = parser.parse_args()
    out = options.out or Path(tempfile.mkdtemp(prefix="cifar-laptop-"))
    peak = matmul_peak(dtype=torch.bfloat16 if computes_bf16() else torch.float32)  # in which training multiplies
    recipe = resolve("cifar10-resnet50-crossentropy", budget="laptop", overrides={"data.source": options.data})
    loop_rate, operations = plain_loop(recipe)
    report: dict[str, Any] = {
        "machine": platform.platform(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "matmul_peak_gflops": round(peak / 1e9, 1),
        "flop_per_image": operations,
        "plain_loop_images_per_second": loop_rate,
        "runs": {},
    }
    print(f"matrix-product peak {peak / 1e9:.0f} GFLOP/s on {torch.get_num_threads()} threads")
    print(
        f"the network: {operations / 1e6:.0f} MFLOP an image, forward and backward; plain loop {loop_rate:,.0f} images/s\n"
    )
    print("| run | test accuracy, each seed | training, s | whole command, s | images/s | of peak |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    for name in options.only:
        shipped, changes = RUNS[name]
        rows = []
        for seed in range(options.seeds):
            run = lw.train(
                resolve(shipped, budget="laptop", seed=seed, overrides=changes | {"data.source": options.data}),
                out / f"{name}-{seed}",
                quiet=True,
            )
            kept = ("classifier_accuracy", "knn1_accuracy", "train_seconds", "total_seconds", "images_per_second")
            rows.append({key: run.metrics[key] for key in kept})
        report["runs"][name] = rows
        rate = statistics.median(row["images_per_second"] for row in rows)
        accuracies = ", ".join(f"{row['classifier_accuracy']:.2%}" for row in rows)
        training, whole = (", ".join(f"{row[key]:.0f}" for row in rows) for key in ("train_seconds", "total_seconds"))
        share = rate * operations / peak
        print(f"| {name} | {accuracies} | {training} | {whole} | {rate:,.0f} | {share:.0%} |", flush=True)
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
