"""Time and memory of the losses against plain torch and pytorch-metric-learning, forward and backward, two threads.

    python benchmarks/losses.py                      # the table, 5 paired rounds, writes benchmarks/results/losses.json
    python benchmarks/losses.py --sizes 1024 --rounds 15
    python benchmarks/losses.py --tiles              # time by side of the tile, behind the default of 512
    python benchmarks/losses.py --large 131072       # NT-Xent on that many rows: seconds and memory

Every round runs each contender once, in turn, so that a slow minute of the machine slows all of them; a ratio is one
median over another of the same rounds. Memory is the growth of the process's peak beyond its inputs, each in a
process of its own. The share of peak is the multiplications that the algorithm does over those of a 2,048³ matrix
product per second, measured in the same rounds.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from likewise import losses

WIDTH, CLASSES = 128, 10
Step = Callable[[Tensor, Tensor, Tensor], Tensor]
HUGE = 1 << 40


def plain_nt_xent(x: Tensor, y: Tensor, labels: Tensor) -> Tensor:
    z = F.normalize(torch.cat([x[0::2], x[1::2]]), dim=1)
    n = len(z) // 2
    s = (z @ z.T / 0.1).masked_fill(torch.eye(2 * n, dtype=torch.bool), -torch.inf)
    return F.cross_entropy(s, torch.arange(2 * n).roll(n))


def plain_supcon(x: Tensor, y: Tensor, labels: Tensor) -> Tensor:
    z = F.normalize(x, dim=1)
    self = torch.eye(len(z), dtype=torch.bool)
    s = z @ z.T / 0.1
    same = ((labels[:, None] == labels) & ~self).float()
    log_share = s - s.masked_fill(self, -torch.inf).logsumexp(1, keepdim=True)
    return -((same * log_share).sum(1) / same.sum(1).clamp_min(1)).mean()


def plain_clip(x: Tensor, y: Tensor, labels: Tensor) -> Tensor:
    s = F.normalize(x, dim=1) @ F.normalize(y, dim=1).T / 0.1
    target = torch.arange(len(s))
    return 0.5 * (F.cross_entropy(s, target) + F.cross_entropy(s.T, target))


def plain_info_nce(x: Tensor, y: Tensor, labels: Tensor) -> Tensor:
    s = F.normalize(x, dim=1) @ F.normalize(y, dim=1).T / 0.1
    return F.cross_entropy(s, torch.arange(len(s)))


def plain_n_pairs(x: Tensor, y: Tensor, labels: Tensor) -> Tensor:
    z = F.normalize(x, dim=1)
    target = (labels[:, None] == labels).float()
    return F.cross_entropy(z @ z.T, target / target.sum(1, keepdim=True))


def plain_contrastive(x: Tensor, y: Tensor, labels: Tensor) -> Tensor:
    squared = torch.cdist(x, x).pow(2)
    same = labels[:, None] == labels
    return torch.where(same, squared, torch.relu(200 - squared)).triu(1).sum()


def plain_hard(x: Tensor, y: Tensor, labels: Tensor) -> Tensor:
    d = torch.cdist(x, x)
    same = labels[:, None] == labels
    far = d.masked_fill(~same, -torch.inf).amax(1)
    near = d.masked_fill(same, torch.inf).amin(1)
    return torch.relu(far - near + 0.2).mean()


def plain_semihard(x: Tensor, y: Tensor, labels: Tensor) -> Tensor:
    d = torch.cdist(x, x)
    same = labels[:, None] == labels
    self = torch.eye(len(d), dtype=torch.bool)
    beyond, _ = d.masked_fill(same, torch.inf).sort(dim=1)
    pick = torch.searchsorted(beyond.detach(), d.detach(), right=True)
    pick = torch.minimum(pick, (~same).sum(1, keepdim=True) - 1)
    return torch.relu(d - beyond.gather(1, pick) + 0.2)[same & ~self].mean()


def pml(name: str, **options: Any) -> Step | None:
    try:
        import pytorch_metric_learning.losses as theirs
    except ImportError:
        return None
    loss = getattr(theirs, name)(**options)
    return lambda x, y, labels: loss(x, labels)


def pml_hard() -> Step | None:
    try:
        from pytorch_metric_learning import losses as theirs
        from pytorch_metric_learning import miners
    except ImportError:
        return None
    from pytorch_metric_learning.distances import LpDistance

    distance = LpDistance(normalize_embeddings=False)
    miner, loss = miners.BatchHardMiner(distance=distance), theirs.TripletMarginLoss(margin=0.2, distance=distance)
    return lambda x, y, labels: loss(x, labels, miner(x, labels))


# name: ours; (contender, the largest N it is run at); multiplications of ours in N² D
TABLE: dict[str, tuple[Step, dict[str, tuple[Step | None, int]], float | None]] = {
    "nt_xent": (
        lambda x, y, labels: losses.nt_xent_loss(x[0::2], x[1::2], temperature=0.1),
        {"plain": (plain_nt_xent, 8192)},
        2,
    ),
    "supcon": (
        lambda x, y, labels: losses.supcon_loss(x, labels, temperature=0.1),
        {"plain": (plain_supcon, 8192), "pml": (pml("SupConLoss", temperature=0.1), 4096)},
        2,
    ),
    "info_nce": (
        lambda x, y, labels: losses.info_nce_loss(x, y, temperature=0.1),
        {"plain": (plain_info_nce, 8192)},
        4,
    ),
    "clip": (
        lambda x, y, labels: losses.clip_loss(x, y, temperature=0.1),
        {"plain": (plain_clip, 8192)},
        4,
    ),
    "n_pairs": (
        lambda x, y, labels: losses.n_pairs_embedding_loss(x, labels),
        {"plain": (plain_n_pairs, 8192)},
        2,
    ),
    "contrastive": (
        lambda x, y, labels: losses.contrastive_loss(x, labels, margin=200.0),
        {"plain": (plain_contrastive, 8192)},
        1.5,
    ),
    "triplet_hard": (
        lambda x, y, labels: losses.triplet_loss(x, labels, mining="hard"),
        {"plain": (plain_hard, 8192), "pml": (pml_hard(), 4096)},
        None,
    ),
    "triplet_semihard": (
        lambda x, y, labels: losses.triplet_loss(x, labels, mining="semihard"),
        {"plain": (plain_semihard, 4096)},
        None,
    ),
    "multi_similarity": (
        lambda x, y, labels: losses.multi_similarity_loss(x, labels),
        {"pml": (pml("MultiSimilarityLoss", alpha=2, beta=50, base=0.5), 4096)},
        2,
    ),
    "circle": (
        lambda x, y, labels: losses.circle_loss(x, labels),
        {"pml": (pml("CircleLoss", m=0.4, gamma=80), 4096)},
        2,
    ),
    "generalized_lifted": (
        lambda x, y, labels: losses.generalized_lifted_structure_loss(x, labels),
        {"pml": (pml("GeneralizedLiftedStructureLoss", neg_margin=1, pos_margin=0), 4096)},
        2,
    ),
}


def inputs(rows: int) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    x, y = (torch.randn(rows, WIDTH, generator=g).requires_grad_() for _ in range(2))
    return x, y, torch.randint(0, CLASSES, (rows,), generator=g)


def seconds(step: Step, data: tuple[Tensor, Tensor, Tensor]) -> float:
    data[0].grad = data[1].grad = None
    start = time.perf_counter()
    step(*data).backward()
    return time.perf_counter() - start


def peak_product() -> float:
    """Multiplications per second of a 2,048³ matrix product."""
    a = torch.randn(2048, 2048)
    start = time.perf_counter()
    torch.mm(a, a)
    return 2048**3 / (time.perf_counter() - start)


def measure(name: str, rows: int, rounds: int) -> dict[str, Any]:
    ours, others, products = TABLE[name]
    data = inputs(rows)
    contenders = {"ours": ours} | {k: f for k, (f, most) in others.items() if f is not None and rows <= most}
    for step in contenders.values():
        seconds(step, data)
    times: dict[str, list[float]] = {k: [] for k in contenders}
    peaks = []
    for _ in range(rounds):
        for key, step in contenders.items():
            times[key].append(seconds(step, data))
        peaks.append(peak_product())
    median = {k: statistics.median(v) for k, v in times.items()}
    result: dict[str, Any] = {"loss": name, "rows": rows, "seconds": median}
    result["ratio"] = {k: median["ours"] / v for k, v in median.items() if k != "ours"}
    if products:
        result["share_of_peak"] = products * rows**2 * WIDTH / median["ours"] / statistics.median(peaks)
    return result


def _high_water() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) << 10
    return 0


def _memory(name: str, rows: int, pipe: Any) -> None:
    torch.set_num_threads(2)
    ours = TABLE[name][0]
    ours(*inputs(600)).backward()  # code and thread pools are loaded
    data = inputs(rows)
    Path("/proc/self/clear_refs").write_text("5")
    before = _high_water()
    start = time.perf_counter()
    ours(*data).backward()
    pipe.send((_high_water() - before, time.perf_counter() - start))


def memory(name: str, rows: int) -> tuple[int, float]:
    """Bytes above the inputs (Linux), and seconds."""
    mine, theirs = mp.get_context("spawn").Pipe()
    process = mp.get_context("spawn").Process(target=_memory, args=(name, rows, theirs))
    process.start()
    answer: tuple[int, float] = mine.recv()
    process.join()
    return answer


def tiles(rows: int, rounds: int) -> None:
    data = inputs(rows)
    times: dict[int, list[float]] = {}
    for _ in range(rounds):
        for size in (128, 256, 384, 512, 768, 1024, 2048):
            step: Step = lambda x, y, labels, s=size: losses.nt_xent_loss(x[0::2], x[1::2], tile_size=s)  # noqa: E731
            times.setdefault(size, []).append(seconds(step, data))
    for size, values in times.items():
        print(f"tile {size:5d}: {statistics.median(values) * 1e3:8.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 4096])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", default=list(TABLE), choices=list(TABLE))
    parser.add_argument("--memory", type=int, nargs="*", default=[1024, 8192])
    parser.add_argument("--tiles", action="store_true")
    parser.add_argument("--large", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "losses.json")
    options = parser.parse_args()
    torch.set_num_threads(2)
    if options.tiles:
        tiles(options.sizes[-1], options.rounds)
        return
    if options.large:
        used, took = memory("nt_xent", options.large)
        print(f"nt_xent, {options.large} rows: {took:.1f} s, {used / 2**20:.0f} MiB above the inputs")
        return
    results = []
    print(f"{'loss':20s} {'rows':>6s} {'ms':>9s} {'/plain':>7s} {'/pml':>7s} {'of peak':>8s}")
    for rows in options.sizes:
        for name in options.only:
            row = measure(name, rows, options.rounds)
            results.append(row)
            ratio = {k: f"{v:.2f}" for k, v in row["ratio"].items()}
            share = f"{row['share_of_peak']:.2f}" if "share_of_peak" in row else ""
            print(
                f"{name:20s} {rows:6d} {row['seconds']['ours'] * 1e3:9.1f} {ratio.get('plain', ''):>7s}"
                f" {ratio.get('pml', ''):>7s} {share:>8s}",
                flush=True,
            )
    for rows in options.memory:
        for name in options.only:
            used, _ = memory(name, rows)
            results.append({"loss": name, "rows": rows, "peak_memory_mib": used / 2**20})
            print(f"{name:20s} {rows:6d} {used / 2**20:9.1f} MiB above the inputs", flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    load = os.getloadavg()[0]
    document = {"torch": torch.__version__, "threads": 2, "rounds": options.rounds, "load": load, "results": results}
    options.out.write_text(json.dumps(document, indent=1) + "\n")
    print(f"written to {options.out}; load of the machine at the end {load:.1f} (2 is this process alone)")


if __name__ == "__main__":
    main()
