"""Time and memory of the losses against plain torch, pytorch-metric-learning and lightly, forward and backward.

    python benchmarks/losses.py                      # the table, two threads, writes benchmarks/results/losses.json
    python benchmarks/losses.py --only nt_xent clip --sizes 4096 8192 --rounds 9 --memory
    python benchmarks/losses.py --tiles --sizes 4096 # time by side of the tile, behind the default of 512
    python benchmarks/losses.py --forms --sizes 32 64 128 256 512 1024 2048   # as a whole, in tiles, a lane per thread
    python benchmarks/losses.py --large 131072       # NT-Xent on that many rows, one process and two ranks

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
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from likewise import losses
from likewise.losses import _lanes, _whole
from loss_contenders import TABLE, Step

WIDTH, CLASSES = 128, 10
OTHERS = ("plain", "pml", "lightly")


def inputs(rows: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
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


def _rise(step: Step, warm: tuple[Tensor, Tensor, Tensor], data: tuple[Tensor, Tensor, Tensor]) -> tuple[int, float]:
    """Bytes by which the peak of this process grows, and seconds."""
    step(*warm).backward()  # code, thread pools and buffers of the process group are loaded
    Path("/proc/self/clear_refs").write_text("5")
    before = _high_water()
    took = seconds(step, data)
    return _high_water() - before, took


def _memory(pipe: Any, name: str, rows: int, threads: int) -> None:
    torch.set_num_threads(threads)
    pipe.send(_rise(TABLE[name][0], inputs(600), inputs(rows)))


def _rank(pipe: Any, rank: int, ranks: int, store: str, rows: int) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}/store", rank=rank, world_size=ranks)

    def step(x: Tensor, y: Tensor, labels: Tensor) -> Tensor:
        return losses.nt_xent_loss(x[0::2], x[1::2], temperature=0.1, group=dist.group.WORLD)

    pipe.send(_rise(step, inputs(600, rank), inputs(rows // ranks, rank)))
    dist.destroy_process_group()


def _in_processes(target: Any, arguments: list[tuple[Any, ...]]) -> list[tuple[int, float]]:
    context = mp.get_context("spawn")
    running = []
    for extra in arguments:
        mine, theirs = context.Pipe()
        process = context.Process(target=target, args=(theirs, *extra))
        process.start()
        running.append((mine, process))
    answers = [pipe.recv() for pipe, _ in running]
    for _, process in running:
        process.join()
    return answers


def memory(name: str, rows: int, threads: int) -> int:
    """Bytes above the inputs (Linux)."""
    return _in_processes(_memory, [(name, rows, threads)])[0][0]


def tiles(rows: int, rounds: int) -> None:
    data = inputs(rows)
    times: dict[int, list[float]] = {}
    for _ in range(rounds):
        for size in (128, 256, 384, 512, 768, 1024, 2048):
            step: Step = lambda x, y, labels, s=size: losses.nt_xent_loss(x[0::2], x[1::2], tile_size=s)  # noqa: E731
            times.setdefault(size, []).append(seconds(step, data))
    for size, values in times.items():
        print(f"tile {size:5d}: {statistics.median(values) * 1e3:8.1f} ms")


# from how many pairs on tiles, from how many rows for each thread lanes
FORMS = {"whole": (1 << 40, 1 << 30), "tiles": (0, 1 << 30), "lanes": (0, 1)}


def forms(names: list[str], sizes: list[int], rounds: int) -> None:
    """Where the switches between the forms of a batch belong: each loss in all three, as shares of plain torch."""
    for rows in sizes:
        for name in names:
            ours, others, _ = TABLE[name]
            plain, data = others.get("plain", (None, 0))[0], inputs(rows)
            contenders = {key: ours for key in FORMS if key != "whole" or rows <= 1024} | (
                {"plain": plain} if plain else {}
            )
            times: dict[str, list[float]] = {key: [] for key in contenders}
            for _ in range(rounds + 1):
                for key, step in contenders.items():
                    _whole.WHOLE_ENTRIES, _lanes.LANE_ROWS = FORMS.get(key, (0, 1))
                    times[key].append(seconds(step, data))
            median = {key: statistics.median(values[1:]) for key, values in times.items()}
            unit = median.get("plain", 1e-3)
            shares = ", ".join(f"{key} {median[key] / unit:.2f}" for key in FORMS if key in median)
            print(f"{name:20s} {rows:6d} {shares} {'of plain' if plain else 'ms'}", flush=True)


def large(rows: int, threads: int) -> list[dict[str, Any]]:
    """NT-Xent on so many rows: one process, then two ranks of one thread each."""
    used, took = _in_processes(_memory, [("nt_xent", rows, threads)])[0]
    found = [{"loss": "nt_xent", "rows": rows, "ranks": 1, "seconds": took, "peak_memory_mib": used / 2**20}]
    with tempfile.TemporaryDirectory() as store:
        parts = _in_processes(_rank, [(rank, 2, store, rows) for rank in range(2)])
    used, took = max(p[0] for p in parts), max(p[1] for p in parts)
    found.append({"loss": "nt_xent", "rows": rows, "ranks": 2, "seconds": took, "peak_memory_mib": used / 2**20})
    for row in found:
        print(
            f"nt_xent, {rows} rows, {row['ranks']} process(es): {row['seconds']:.1f} s,"
            f" {row['peak_memory_mib']:.0f} MiB above the inputs in each"
        )
    return found


def markdown(results: list[dict[str, Any]]) -> str:
    """The table that the documentation shows."""
    names = list(dict.fromkeys(r["loss"] for r in results))
    sizes = sorted({r["rows"] for r in results if "ratio" in r})
    stored = sorted({r["rows"] for r in results if "peak_memory_mib" in r and "ranks" not in r})
    head = ["loss", *(f"N = {n:,}: ms | / plain | / pml | / lightly | of peak" for n in sizes)]
    head += [f"MiB at {n:,}" for n in stored]
    lines = ["| " + " | ".join(head) + " |"]
    lines.append("| " + " | ".join(["---"] * (1 + 5 * len(sizes) + len(stored))) + " |")
    for name in names:
        cells = [name]
        for n in sizes:
            row = next((r for r in results if r["loss"] == name and r["rows"] == n and "ratio" in r), None)
            if row is None:
                cells += [""] * 5
                continue
            cells.append(f"{row['seconds']['ours'] * 1e3:.1f}")
            cells += [f"{row['ratio'][k]:.2f}" if k in row["ratio"] else "" for k in OTHERS]
            cells.append(f"{row['share_of_peak']:.2f}" if "share_of_peak" in row else "")
        for n in stored:
            used = [r["peak_memory_mib"] for r in results if (r["loss"], r["rows"]) == (name, n) and "ratio" not in r]
            cells.append(f"{used[0]:.1f}" if used else "")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 4096])
    parser.add_argument("--rounds", type=int, default=5, help="paired rounds; three times as many at 1,024 and below")
    parser.add_argument("--only", nargs="+", default=list(TABLE), choices=list(TABLE))
    parser.add_argument("--memory", type=int, nargs="*", default=[1024, 8192, 16384], help="sizes; none: skip")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tiles", action="store_true")
    parser.add_argument("--forms", action="store_true")
    parser.add_argument("--large", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "losses.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.tiles:
        tiles(options.sizes[-1], options.rounds)
        return
    if options.forms:
        forms(options.only, options.sizes, options.rounds)
        return
    results = large(options.large, options.threads) if options.large else []
    if not options.large:
        for rows in options.sizes:
            for name in options.only:
                row = measure(name, rows, options.rounds * (3 if rows <= 1024 else 1))
                results.append(row)
                ratio = ", ".join(f"{v:.2f} of {k}" for k, v in row["ratio"].items())
                share = f", {row['share_of_peak']:.2f} of peak" if "share_of_peak" in row else ""
                print(f"{name:20s} {rows:6d} {row['seconds']['ours'] * 1e3:9.1f} ms, {ratio}{share}", flush=True)
        for rows in options.memory:
            for name in options.only:
                used = memory(name, rows, options.threads) / 2**20
                results.append({"loss": name, "rows": rows, "peak_memory_mib": used})
                print(f"{name:20s} {rows:6d} {used:9.1f} MiB above the inputs", flush=True)
        print(f"\n{markdown(results)}\n")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    document: dict[str, Any] = {"torch": torch.__version__, "threads": options.threads, "rounds": options.rounds}
    if options.large and options.out.exists():  # the large run joins what the table's run wrote
        document = json.loads(options.out.read_text())
        results = [r for r in document["results"] if r.get("rows") != options.large or "ranks" not in r] + results
    document |= {"load": os.getloadavg()[0], "results": results}
    options.out.write_text(json.dumps(document, indent=1) + "\n")
    print(f"written to {options.out}; load of the machine at the end {document['load']:.1f} (2 is this process alone)")


if __name__ == "__main__":
    main()
