"""How long the evaluation takes, against the engines that people use for it, in one run on one machine.

    python benchmarks/evaluation.py                         synthetic embeddings, three paired rounds
    python benchmarks/evaluation.py --embeddings RUN/embeddings --rounds 5

Every measurement is a process of its own: it loads the same arrays, warms up on a small part, notes its peak memory, runs once
and reports the seconds and the growth of the peak. A round runs ours and theirs one after the other; what counts is the
median over rounds of the ratio within a round, so a machine that is busy with something else slows both. Writes
``benchmarks/results/evaluation.json`` and prints a Markdown table. Needs the extra ``benchmarks``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results" / "evaluation.json"
PAIRS = {
    "neighbours": ("ours_neighbours", "faiss_neighbours", "kNN k = 10 and recall@1, 5, 10: 10,000 against 60,000 × 64"),
    "rankings": ("ours_rankings", "pml_rankings", "MAP@R and R-precision: 10,000 against 60,000 × 64"),
    "probe": ("ours_probe", "sklearn_probe", "linear probe: 7 strengths on 55,000 × 64, chosen on 5,000"),
    "picture": ("ours_picture", "sklearn_picture", "t-SNE picture of 3,000 × 10"),
}
TARGETS = {"neighbours": 1.3, "rankings": 0.125, "picture": 0.5}
THEIRS = {
    "neighbours": "faiss IndexFlatL2",
    "rankings": "pytorch-metric-learning",
    "probe": "scikit-learn LogisticRegression, started from the last strength",
    "picture": "scikit-learn TSNE",
}


def synthetic(folder: Path) -> None:
    """Clusters in a few strong directions with overlapping tails, about as separable as Fashion-MNIST after training."""
    random = np.random.default_rng(0)
    for dimension, sizes in ((64, {"train": 60_000, "test": 10_000}), (10, {"picture": 3_000})):
        centres = random.normal(size=(10, dimension)) * np.geomspace(2.5, 0.05, dimension)
        for name, n in sizes.items():
            labels = random.integers(0, 10, n)
            noise = random.normal(size=(n, dimension)) * np.geomspace(1.2, 0.05, dimension)
            np.save(folder / f"{name}.npy", (centres[labels] + noise).astype(np.float32))
            np.save(folder / f"{name}_labels.npy", labels)


def real(folder: Path, source: Path) -> None:
    """Embeddings of a run, tiled up to the same sizes with a little noise where there are fewer."""
    import pyarrow.parquet as parquet

    random = np.random.default_rng(0)
    for name, n in (("train", 60_000), ("test", 10_000)):
        table = parquet.read_table(source / f"{name}.parquet")
        x = np.stack(table["embedding"].to_numpy()).astype(np.float32)
        rows = np.arange(n) % len(x)
        noise = np.where(np.arange(n) < len(x), 0, 1e-3)[:, None] * random.normal(size=(n, x.shape[1])) * x.std()
        np.save(folder / f"{name}.npy", (x[rows] + noise).astype(np.float32))
        np.save(folder / f"{name}_labels.npy", table["label"].to_numpy()[rows])
        if name == "test":
            np.save(folder / "picture.npy", x[:3000])
            np.save(folder / "picture_labels.npy", table["label"].to_numpy()[:3000])


class Data:
    """The arrays of a round, cut down for the warm-up."""

    def __init__(self, folder: Path, largest: int | None = None, seed: int = 0) -> None:
        names = ("train", "test", "picture")
        arrays = {key: np.load(folder / f"{key}.npy")[:largest] for n in names for key in (n, f"{n}_labels")}
        self.train, self.train_labels = arrays["train"], arrays["train_labels"]
        self.test, self.test_labels = arrays["test"], arrays["test_labels"]
        self.picture = arrays["picture"]
        self.seed = seed


def scores_of(neighbors: np.ndarray, data: Data) -> dict[str, float]:
    found = data.train_labels[neighbors]
    hits = found == data.test_labels[:, None]
    votes = np.stack([(found == c).sum(axis=1) for c in range(int(data.train_labels.max()) + 1)], axis=1)
    recall = {f"recall_at_{k}": float(hits[:, :k].any(axis=1).mean()) for k in (1, 5, 10)}
    return {"knn10_accuracy": float((votes.argmax(axis=1) == data.test_labels).mean()), **recall}


def ours_neighbours(data: Data) -> dict[str, float]:
    from likewise.evaluation import nearest

    return scores_of(nearest(data.test, data.train, 10)[1], data)


def faiss_neighbours(data: Data) -> dict[str, float]:
    import faiss

    index = faiss.IndexFlatL2(data.train.shape[1])
    index.add(data.train)
    return scores_of(index.search(data.test, 10)[1], data)


def ours_rankings(data: Data) -> dict[str, float]:
    from likewise.evaluation import retrieval

    result = retrieval(data.test, data.test_labels, data.train, data.train_labels, ks=())
    return {"map_at_r": result.map_at_r, "r_precision": result.r_precision}


def pml_rankings(data: Data) -> dict[str, float]:
    import torch
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    calculator = AccuracyCalculator(
        include=("mean_average_precision_at_r", "r_precision"), k="max_bin_count", device=torch.device("cpu")
    )
    arrays = [torch.from_numpy(a) for a in (data.test, data.test_labels, data.train, data.train_labels)]
    result = calculator.get_accuracy(*arrays)
    return {"map_at_r": result["mean_average_precision_at_r"], "r_precision": result["r_precision"]}


def probe_splits(data: Data) -> list[tuple[np.ndarray, np.ndarray]]:
    n = len(data.train) // 12
    return [
        (data.train[n:], data.train_labels[n:]),
        (data.train[:n], data.train_labels[:n]),
        (data.test, data.test_labels),
    ]


def ours_probe(data: Data) -> dict[str, float]:
    from likewise.evaluation import linear_probe

    found = linear_probe(*probe_splits(data))
    return {"accuracy": found.accuracy, "strength": found.strength}


def sklearn_probe(data: Data) -> dict[str, float]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    from likewise.evaluation.linear_probe import STRENGTHS

    (x, y), (v, v_labels), (z, z_labels) = probe_splits(data)
    scaler = StandardScaler().fit(x)
    x, v, z = (scaler.transform(part) for part in (x, v, z))
    model = LogisticRegression(warm_start=True, tol=1e-5, max_iter=1000)
    best = (-1.0, 0.0, 0.0)
    for strength in STRENGTHS:
        model.set_params(C=1 / (strength * len(x))).fit(x, y)
        right = float(model.score(v, v_labels))
        if right > best[0]:
            best = (right, float(model.score(z, z_labels)), strength)
    return {"accuracy": best[1], "strength": best[2]}


def ours_picture(data: Data) -> dict[str, float]:
    from likewise.evaluation import project

    return {"picture": project(data.picture, seed=data.seed)}  # type: ignore[dict-item]


def sklearn_picture(data: Data) -> dict[str, float]:
    import torch
    from sklearn.manifold import TSNE

    return {"picture": TSNE(random_state=data.seed, n_jobs=torch.get_num_threads()).fit_transform(data.picture)}


def ours_suite(data: Data) -> dict[str, float]:
    from likewise.evaluation import EmbeddedSplit, evaluate

    n = len(data.train) // 12
    parts = (
        (data.train[n:], data.train_labels[n:]),
        (data.train[:n], data.train_labels[:n]),
        (data.test, data.test_labels),
    )
    splits = [EmbeddedSplit(x, y, tuple(map(str, range(len(x))))) for x, y in parts]
    return evaluate(*splits, num_classes=int(data.train_labels.max()) + 1).metrics


WORKERS: dict[str, Callable[[Data], dict[str, float]]] = {
    f.__name__: f
    for f in (
        ours_neighbours,
        faiss_neighbours,
        ours_rankings,
        pml_rankings,
        ours_probe,
        sklearn_probe,
        ours_picture,
        sklearn_picture,
        ours_suite,
    )
}


def peak_bytes() -> int:
    """This process's peak memory. Linux carries ru_maxrss over from the parent, so its own high-water mark is read."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def work(name: str, folder: Path, threads: int, seed: int) -> None:
    """One measurement, as one line of JSON on standard output."""
    import torch

    warnings.simplefilter("ignore")
    torch.set_num_threads(threads)
    data = Data(folder, seed=seed)
    WORKERS[name](Data(folder, 500))
    before = peak_bytes()
    start, cpu = time.perf_counter(), time.process_time()
    values = WORKERS[name](data)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = peak_bytes() - before
    if "picture" in values:
        from likewise.evaluation import trustworthiness

        values = {"trustworthiness_at_10": trustworthiness(data.picture, values["picture"])}  # type: ignore[arg-type]
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu, "peak_bytes": peak, "values": values}))


def measure(name: str, folder: Path, threads: int, seed: int) -> dict[str, Any]:
    limits = {v: str(threads) for v in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    command = [sys.executable, __file__, "--worker", name, "--folder", str(folder), "--threads", str(threads)]
    command += ["--seed", str(seed)]
    done = subprocess.run(command, env=os.environ | limits, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def median(rounds: list[dict[str, Any]], key: str) -> float:
    return statistics.median(r[key] for r in rounds)


def environment(threads: int) -> dict[str, Any]:
    packages = ("torch", "numpy", "scikit-learn", "openTSNE", "faiss-cpu", "pytorch-metric-learning")
    model = (
        [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")][:1]
        if (Path("/proc/cpuinfo").exists())
        else []
    )
    return {
        "processor": model[0].split(":")[1].strip() if model else platform.processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "load": os.getloadavg()[0],
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=[*PAIRS, "suite"], nargs="*", default=[*PAIRS, "suite"])
    parser.add_argument("--embeddings", type=Path, help="a run's embeddings/ folder instead of synthetic ones")
    parser.add_argument("--worker", choices=WORKERS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker, options.folder, options.threads, options.seed)
        return
    report: dict[str, Any] = {
        "environment": environment(options.threads),
        "data": str(options.embeddings.name) if options.embeddings else "synthetic",
        "measured": {},
    }
    print("\n".join(f"{k}: {v}" for k, v in report["environment"].items()), flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        real(folder, options.embeddings) if options.embeddings else synthetic(folder)
        for task in options.only:
            names = PAIRS[task][:2] if task in PAIRS else ("ours_suite",)
            rounds = [[measure(n, folder, options.threads, seed) for n in names] for seed in range(options.rounds)]
            entry: dict[str, Any] = {
                n: {k: median([r[i] for r in rounds], k) for k in ("seconds", "cpu_seconds", "peak_bytes")}
                | {"values": {v: statistics.median(r[i]["values"][v] for r in rounds) for v in rounds[0][i]["values"]}}
                for i, n in enumerate(names)
            }
            if task in PAIRS:
                entry["ratio"] = {
                    k: statistics.median(
                        r[0][k] / max(r[1][k], 1) if k == "peak_bytes" else r[0][k] / r[1][k] for r in rounds
                    )
                    for k in ("seconds", "cpu_seconds", "peak_bytes")
                }
            entry["rounds"] = rounds
            report["measured"][task] = entry
            print(f"{task}: {json.dumps({k: v for k, v in entry.items() if k != 'rounds'}, indent=1)}", flush=True)
    print(table(report["measured"]))
    RESULTS.parent.mkdir(exist_ok=True)
    if RESULTS.exists():  # what was not measured this time stays, on the machine that the file names
        before = json.loads(RESULTS.read_text())
        if all(before[key] == report[key] for key in ("environment", "data")):
            report["measured"] = before["measured"] | report["measured"]
    RESULTS.write_text(json.dumps(report, indent=2) + "\n")


def table(measured: dict[str, Any]) -> str:
    lines = [
        "| task | Likewise | peak | compared with | theirs | peak | time ratio | memory ratio | target |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for task, entry in measured.items():
        if task not in PAIRS:
            ours = entry["ours_suite"]
            lines.append(f"| whole suite | {ours['seconds']:.2f} s | {ours['peak_bytes'] / 1e6:.0f} MB | | | | | | |")
            continue
        ours, theirs = entry[PAIRS[task][0]], entry[PAIRS[task][1]]
        lines.append(
            f"| {PAIRS[task][2]} | {ours['seconds']:.2f} s | {ours['peak_bytes'] / 1e6:.0f} MB | {THEIRS[task]} "
            f"| {theirs['seconds']:.2f} s | {theirs['peak_bytes'] / 1e6:.0f} MB | {entry['ratio']['seconds']:.2f} "
            f"| {entry['ratio']['peak_bytes']:.2f} | {TARGETS.get(task, '')} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
