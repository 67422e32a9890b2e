"""Where the time of a SimCLR step goes: data and augmentation against the network, and the network against matrix products.

    .venv/bin/python benchmarks/simclr_step.py [--data cifar10] [--batch 128] [--rounds 7] [--threads 2]

The recipe ``cifar10-simclr`` at the budget ``paper``, a ResNet-18 with the small stem at 32×32, with its objective, optimiser
and precision as training has them (bfloat16 where the processor has AMX), in batches of ``--batch`` images, two views of each;
channels last. Each round takes three times, one after the other: taking a batch of the data and making its views; a whole
step; and the same step with ``nn.Conv2d`` in place of our convolution, which has products of patches on small grids. Medians.

The share of the peak is the step without data and augmentation, by its floating-point operations forward and backward,
against the best of 2048×2048 matrix products, measured in the same run in the type that the step multiplies in, before and
after the rounds. Targets: data and augmentation below 15 % of a step, the rest at 60 % of the peak.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from fashion_encoders import matmul_peak, shares_of
from likewise.data.draws import Draws
from likewise.models import patch_convolution
from likewise.objectives import Batch
from likewise.training.build import build_model
from likewise.training.environment import computes_bf16
from likewise.training.optimizers import build_optimizer
from likewise.training.run import data_of
from likewise.training.train import resolve

RESULTS = Path(__file__).parent / "results" / "simclr_step.json"
TARGETS = {"augmentation": 0.15, "of_peak": 0.60}


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@contextmanager
def plain_convolutions(module: nn.Module) -> Any:
    """Every convolution of ``module`` as PyTorch has it."""
    ours = [part for part in module.modules() if type(part) is patch_convolution.Conv2d]
    for part in ours:
        part.__class__ = nn.Conv2d  # type: ignore[assignment]
    try:
        yield
    finally:
        for part in ours:
            part.__class__ = patch_convolution.Conv2d


def measure(options: argparse.Namespace) -> dict[str, Any]:
    changes = {"data.source": options.data, "training.batch_size": options.batch}
    recipe = resolve("cifar10-simclr", budget=options.budget, overrides=changes)
    data = data_of(recipe)
    model = build_model(recipe, data)
    objective = recipe.objective.build(model).train()
    optimizer = build_optimizer(recipe.training, objective)
    low = computes_bf16()
    chosen = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(0))[: options.batch]
    labels = torch.full((options.batch,), -1)

    def batch(step: int) -> Batch:
        return Batch(chosen, labels, draws=Draws(torch.Generator().manual_seed(step)))

    def views(step: int = 0) -> Any:
        [(_, images)] = data.train.batches([chosen])
        return recipe.objective.two_views(images, batch(step))

    def whole(step: int = 0) -> None:
        [(_, images)] = data.train.batches([chosen])
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            loss = objective(images, batch(step))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    def plain() -> None:
        with plain_convolutions(objective):
            whole()

    pair = torch.cat(views())
    with FlopCounterMode(display=False) as counter:
        model(pair).sum().backward()
    optimizer.zero_grad()
    operations = counter.get_total_flops()
    dtype = torch.bfloat16 if low else torch.float32
    whole()
    plain()
    peaks = {"float32": matmul_peak() / 1e9, "bfloat16": matmul_peak(dtype=torch.bfloat16) / 1e9}
    times: dict[str, list[float]] = {"views": [], "step": [], "plain": []}
    for _ in range(options.rounds):
        for name, work in (("views", views), ("step", whole), ("plain", plain)):
            times[name].append(seconds(work))
    peak = max(peaks["bfloat16" if low else "float32"], matmul_peak(dtype=dtype) / 1e9)
    middle = {name: statistics.median(values) for name, values in times.items()}
    rate = {name: operations / (middle[name] - middle["views"]) / 1e9 for name in ("step", "plain")}
    return {
        "machine": platform.platform(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "batch": options.batch,
        "budget": options.budget,
        "computes_in": str(dtype).removeprefix("torch."),
        "matmul_peak_gflops": {name: round(value, 1) for name, value in peaks.items()},
        "flop_per_image": operations / options.batch,
        "seconds": middle,
        "images_per_second": options.batch / middle["step"],
        "augmentation": middle["views"] / middle["step"],
        "gflops": rate,
        "of_peak": rate["step"] / peak,
        "of_peak_plain": rate["plain"] / peak,
        "gain": statistics.median(a / b for a, b in zip(times["plain"], times["step"], strict=True)),
        "share_of_step": shares_of(whole, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--budget", choices=("laptop", "paper"), default="paper", help="laptop: the small encoder")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    found = measure(options)
    took, peaks = found["seconds"], found["matmul_peak_gflops"]
    print(
        f"peak: float32 {peaks['float32']:.0f}, bfloat16 {peaks['bfloat16']:.0f} GFLOP/s on {found['threads']} threads;"
        f" the step multiplies in {found['computes_in']}\n"
        f"step of {found['batch']} images, two views each: {took['step']:.2f} s, {found['images_per_second']:.0f} images/s,"
        f" {found['flop_per_image'] / 1e9:.2f} GFLOP an image\n"
        f"data and augmentation: {took['views']:.3f} s, {found['augmentation']:.1%} of the step"
        f" ({TARGETS['augmentation']:.0%} wanted)\n"
        f"the rest: {found['gflops']['step']:.0f} GFLOP/s, {found['of_peak']:.0%} of the peak"
        f" ({TARGETS['of_peak']:.0%} wanted); with nn.Conv2d {found['of_peak_plain']:.0%}, ours is"
        f" {found['gain']:.2f} times as fast\n"
        f"where it goes (products of patches count as linear): {found['share_of_step']}"
    )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found | {"load": os.getloadavg()[0]}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
