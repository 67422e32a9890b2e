"""SimCLR's chain on a batch of uint8 images: ours, kornia's and albumentations', in one run.

    python benchmarks/views.py [--sizes 32 96] [--threads 1 2] [--rounds 7] [--batch 256]

All three do the same work: from a uint8 batch to a float32 tensor (B, C, H, W) that a network takes, every image its own
random crop (area 0.08 … 1), mirror, colour jitter (strength 1, probability 0.8), grey (0.2) and Gaussian blur (a tenth of the
side, 0.5). kornia works on the batch, albumentations on one image after another (on several threads: a pool of so many, with
OpenCV's own threads off). Rounds interleave the three; a ratio is one of medians.

Targets: at least 3 times the images per second of the faster of the two at 32×32, 1.5 times at 96×96.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from likewise.data.views import ViewOptions, draw_views
from likewise.data.views.blur import default_kernel

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
TARGETS = {32: 3.0, 96: 1.5}
Chain = Callable[[], Any]


def photographs(batch: int, side: int) -> Tensor:
    """Random images whose neighbouring pixels have to do with each other."""
    coarse = torch.rand(batch, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 300 - 20
    fine = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic", align_corners=False)
    return fine.clamp(0, 255).to(torch.uint8)


def likewise_chain(images: Tensor) -> Chain:
    generator = torch.Generator().manual_seed(0)
    return lambda: draw_views(images, [ViewOptions()], generator)[0]


def kornia_chain(images: Tensor) -> Chain:
    import kornia.augmentation as K

    side = images.shape[2]
    kernel = default_kernel(side)
    chain = K.AugmentationSequential(
        K.RandomResizedCrop((side, side), scale=(0.08, 1.0)),
        K.RandomHorizontalFlip(),
        K.ColorJitter(0.8, 0.8, 0.8, 0.2, p=0.8),
        K.RandomGrayscale(p=0.2),
        K.RandomGaussianBlur((kernel, kernel), (0.1, 2.0), p=0.5),
    )

    @torch.no_grad()
    def run() -> Tensor:
        views: Tensor = chain(images.float() / 255)
        return views

    return run


def albumentations_chain(images: Tensor, pool: ThreadPoolExecutor | None) -> Chain:
    import albumentations as A
    import cv2

    cv2.setNumThreads(0)
    side = images.shape[2]
    kernel = default_kernel(side)
    chain = A.Compose(
        [
            A.RandomResizedCrop((side, side), scale=(0.08, 1.0)),
            A.HorizontalFlip(p=0.5),
            A.ColorJitter((0.2, 1.8), (0.2, 1.8), (0.2, 1.8), (-0.2, 0.2), p=0.8),
            A.ToGray(p=0.2),
            A.GaussianBlur(blur_limit=(kernel, kernel), sigma_limit=(0.1, 2.0), p=0.5),
        ],
        seed=0,
    )
    arrays = list(np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy()))

    def run() -> Tensor:
        views = [chain(image=a)["image"] for a in arrays] if pool is None else list(pool.map(one, arrays))
        return (
            torch.from_numpy(np.stack(views))
            .permute(0, 3, 1, 2)
            .to(torch.float32, memory_format=torch.contiguous_format)
        )

    def one(array: np.ndarray[Any, Any]) -> Any:
        return chain(image=array)["image"]

    return run


def seconds(chain: Chain) -> float:
    start = time.perf_counter()
    chain()
    return time.perf_counter() - start


def measure(side: int, threads: int, batch: int, rounds: int) -> dict[str, Any]:
    torch.set_num_threads(threads)
    images = photographs(batch, side)
    pool = ThreadPoolExecutor(threads) if threads > 1 else None
    chains = {
        "likewise": likewise_chain(images),
        "kornia": kornia_chain(images),
        "albumentations": albumentations_chain(images, pool),
    }
    times: dict[str, list[float]] = {name: [] for name in chains}
    for chain in chains.values():
        seconds(chain)
    for _ in range(rounds):
        for name, chain in chains.items():
            times[name].append(seconds(chain))
    if pool:
        pool.shutdown()
    rates = {name: batch / statistics.median(values) for name, values in times.items()}
    ratio = rates["likewise"] / max(rate for name, rate in rates.items() if name != "likewise")
    return {"side": side, "threads": threads, "images_per_second": rates, "ratio": ratio, "target": TARGETS.get(side)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 96])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "views.json")
    options = parser.parse_args()
    results = []
    print(
        f"{'side':>5s} {'threads':>8s} {'likewise':>10s} {'kornia':>10s} {'albumentations':>15s} {'ratio':>7s} {'target':>7s}"
    )
    for side in options.sizes:
        for threads in options.threads:
            row = measure(side, threads, options.batch, options.rounds)
            results.append(row)
            rates = row["images_per_second"]
            print(
                f"{side:5d} {threads:8d} {rates['likewise']:10,.0f} {rates['kornia']:10,.0f}"
                f" {rates['albumentations']:15,.0f} {row['ratio']:7.2f} {row['target'] or '':>7}",
                flush=True,
            )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    document = {"torch": torch.__version__, "batch": options.batch, "rounds": options.rounds, "results": results}
    options.out.write_text(json.dumps(document | {"load": os.getloadavg()[0]}, indent=1) + "\n")
    print(f"written to {options.out}; load of the machine at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
