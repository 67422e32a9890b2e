"""The course sheet's Fashion-MNIST script against Likewise, on the same images, network, losses and epochs.

The sheet trains one small CNN twice, by siamese pairs and by cross-entropy, embeds, classifies by 1-NN and draws t-SNE.
``plain_*`` below is that script as a student writes it: a ``Dataset`` that fetches one image at a time and looks
through all labels for a partner, a ``DataLoader``, the default Adam, scikit-learn for the rest. Likewise runs
``fashion-siamese`` and ``fashion-crossentropy`` with ``--budget paper``. Both see the same validation images.

    python benchmarks/seed_fashion.py --quick        a check, under two minutes
    python benchmarks/seed_fashion.py --rounds 3     about 15 minutes a round on two quiet cores

A round is one seed: both are run, in alternating order, in one process. Two ratios are printed, Likewise / sheet:
``same job`` counts what the sheet does (data, training, embeddings, 1-NN, recall@k, t-SNE), ``whole`` counts everything
``likewise.training.train`` does beyond it (test split, linear probe, 200-NN, MAP@R, baselines, records, checkpoints).
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.manifold import TSNE
from sklearn.metrics import accuracy_score, precision_recall_fscore_support
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from likewise import evaluation
from likewise.data import PairSampler, Splits, load_splits
from likewise.training import measure as measuring
from likewise.training import train as training

RESULTS = Path(__file__).parent / "results" / "seed_fashion.json"
Seconds = dict[str, float]
Numbers = dict[str, float]
OBJECTIVES = ("siamese", "crossentropy")


@contextlib.contextmanager
def phase(seconds: Seconds, name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    seconds[name] += time.perf_counter() - began


class SheetNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(8)),
            *(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(8), nn.MaxPool2d(2)),
            *(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(16)),
            *(nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(16), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 1, 3, padding=1), nn.ReLU()),
        )
        self.linear = nn.Sequential(nn.Linear(49, 49), nn.Linear(49, 10))

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.linear(self.features(images).flatten(1))
        return result


class Images(Dataset[tuple[Tensor, Tensor]]):
    def __init__(self, table: np.ndarray) -> None:
        self.labels = table[:, 0]
        self.pixels = table[:, 1:]

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> Tensor:
        return torch.tensor(self.pixels[index].reshape(1, 28, 28) / 255, dtype=torch.float32)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.image(index), torch.tensor(self.labels[index])


class Pairs(Images):
    def __init__(self, table: np.ndarray, seconds: Seconds) -> None:
        super().__init__(table)
        self.seconds = seconds

    def partner(self, index: int) -> tuple[int, float]:
        label = self.labels[index]
        if np.random.random() < 0.5:  # noqa: NPY002
            return int(np.random.choice(np.where(self.labels == label)[0])), 0.0  # noqa: NPY002
        return int(np.random.choice(np.where(self.labels != label)[0])), 1.0  # noqa: NPY002

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        with phase(self.seconds, "sampler"):
            other, different = self.partner(index)
        return self.image(index), self.image(other), torch.tensor(different)


def sheet_loss(first: Tensor, second: Tensor, different: Tensor, margin: float = 2.5) -> Tensor:
    distance = nn.functional.pairwise_distance(first, second)
    pairs = (1 - different) * distance**2 + different * torch.clamp(margin - distance, min=0) ** 2
    return pairs.mean()


def plain_train(objective: str, table: np.ndarray, epochs: int, seconds: Seconds) -> SheetNet:
    net = SheetNet()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    data: Dataset[Any] = Pairs(table, seconds) if objective == "siamese" else Images(table)
    loader = DataLoader(data, batch_size=128, shuffle=True)
    before = seconds["sampler"]
    with phase(seconds, f"training {objective}"):
        for _ in range(epochs):
            for batch in loader:
                if objective == "siamese":
                    first, second, different = batch
                    loss = sheet_loss(net(first), net(second), different)
                else:
                    images, labels = batch
                    loss = nn.functional.cross_entropy(net(images), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    seconds[f"training {objective}"] -= seconds["sampler"] - before
    return net


@torch.no_grad()
def plain_embed(net: SheetNet, table: np.ndarray) -> np.ndarray:
    net.eval()
    return np.concatenate([net(images).numpy() for images, _ in DataLoader(Images(table), batch_size=128)])


def plain_measure(train: np.ndarray, labels: np.ndarray, query: np.ndarray, truth: np.ndarray) -> Numbers:
    predicted = KNeighborsClassifier(n_neighbors=1).fit(train, labels).predict(query)
    precision, recall, f1, _ = precision_recall_fscore_support(truth, predicted, average="macro", zero_division=0)
    numbers = {"accuracy": accuracy_score(truth, predicted), "precision": precision, "recall": recall, "f1": f1}
    near = NearestNeighbors(n_neighbors=11).fit(query).kneighbors(query, return_distance=False)[:, 1:]
    hits = truth[near] == truth[:, None]
    return {k: float(v) for k, v in numbers.items()} | {
        f"recall_at_{k}": float(hits[:, :k].any(axis=1).mean()) for k in (1, 5, 10)
    }


def plain(csv: dict[str, Path], rows: dict[str, np.ndarray], epochs: int, points: int, seed: int) -> dict[str, Any]:
    """The sheet's whole script: siamese, then cross-entropy; the test split is measured outside of the time."""
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)
    seconds: Seconds = defaultdict(float)
    numbers: dict[str, Numbers] = {}
    with phase(seconds, "data"):
        table = pd.read_csv(csv["train"]).to_numpy()
        train, validation = table[rows["train"]], table[rows["validation"]]
    test = pd.read_csv(csv["test"]).to_numpy()
    for objective in OBJECTIVES:
        net = plain_train(objective, train, epochs, seconds)
        with phase(seconds, "embedding"):
            near, far = plain_embed(net, train), plain_embed(net, validation)
        with phase(seconds, "1-NN and recall@k"):
            measured = plain_measure(near, train[:, 0], far, validation[:, 0])
        with phase(seconds, "t-SNE"):
            picture = TSNE(random_state=seed).fit_transform(far[:points])
        on_test = plain_measure(near, train[:, 0], plain_embed(net, test), test[:, 0])
        numbers[objective] = {f"val_{key}": value for key, value in measured.items()} | on_test
        numbers[objective]["trustworthiness"] = evaluation.trustworthiness(far[:points], picture)
    return {"seconds": dict(seconds), "numbers": numbers}


@contextlib.contextmanager
def timing(module: Any, name: str, seconds: Seconds, label: str) -> Iterator[None]:
    """While the block runs, time every call of ``module.name``, but not on the test split, which the sheet leaves alone."""
    function: Callable[..., Any] = getattr(module, name)

    def timed(*args: Any, **kwargs: Any) -> Any:
        if any(getattr(argument, "split", None) == "test" for argument in args):
            return function(*args, **kwargs)
        with phase(seconds, label):
            return function(*args, **kwargs)

    setattr(module, name, timed)
    try:
        yield
    finally:
        setattr(module, name, function)


def ours(source: Path, splits: Splits, epochs: int, points: int, seed: int) -> dict[str, Any]:
    """The two recipes; what ``train`` does that the sheet does not is counted as ``beyond the sheet``."""
    seconds: Seconds = defaultdict(float)
    numbers: dict[str, Numbers] = {}
    home = os.environ.get("LIKEWISE_HOME")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LIKEWISE_HOME"] = str(Path(folder, "cache"))  # no baseline of an earlier round is reused
        for objective in OBJECTIVES:
            inner: Seconds = defaultdict(float)
            began = time.perf_counter()
            module = sys.modules[training.__module__]
            with (
                timing(module, "data_of", inner, "data"),
                timing(module, "fit", inner, f"training {objective}"),
                timing(measuring, "embed_split_on", inner, "embedding"),
            ):
                run = training(
                    f"fashion-{objective}",
                    Path(folder, objective),
                    data=str(source),
                    budget="paper",
                    seed=seed,
                    quiet=True,
                    epochs=epochs,
                    data__train_size=len(splits.train),
                    data__validation=len(splits.validation),
                )
            inner["beyond the sheet"] = time.perf_counter() - began - sum(inner.values())
            near, far = run.embeddings("train"), run.embeddings("validation")
            with phase(inner, "1-NN and recall@k"):
                found = evaluation.knn(near.embeddings, near.labels, far.embeddings, far.labels, k=1)
                recalls = evaluation.retrieval(far.embeddings, far.labels, ks=(1, 5, 10)).recall
            with phase(inner, "t-SNE"):
                picture = evaluation.project(far.embeddings[:points], "tsne", seed=seed)
            for name, value in inner.items():
                seconds[name] += value
            numbers[objective] = {
                "val_accuracy": found.accuracy,
                "val_precision": found.precision_macro,
                "val_recall": found.recall_macro,
                "val_f1": found.f1_macro,
                **{f"val_recall_at_{k}": value for k, value in recalls.items()},
                "accuracy": run.metrics["knn1_accuracy"],
                "f1": run.metrics["knn1_f1_macro"],
                "trustworthiness": evaluation.trustworthiness(far.embeddings[:points], picture),
            }
    if home is None:
        del os.environ["LIKEWISE_HOME"]
    else:
        os.environ["LIKEWISE_HOME"] = home
    return {"seconds": dict(seconds), "numbers": numbers}


def write_csv(source: Path, folder: Path) -> dict[str, Path]:
    """The two CSV files as they are spread on Kaggle, from the idx files."""
    files = {}
    for split, stem in (("train", "train"), ("test", "t10k")):
        files[split] = folder / f"fashion-mnist_{split}.csv"
        if files[split].exists():
            continue
        parts = []
        for kind, header in (("labels-idx1", 8), ("images-idx3", 16)):
            path = next(source.glob(f"{stem}-{kind}-ubyte*"))
            raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            parts.append(np.frombuffer(raw, np.uint8, offset=header))
        table = np.column_stack([parts[0], parts[1].reshape(len(parts[0]), 784)])
        columns = ["label", *(f"pixel{number}" for number in range(1, 785))]
        beside = files[split].with_suffix(".part")  # a half-written table is never taken for a whole one
        pd.DataFrame(table, columns=columns).to_csv(beside, index=False)
        beside.replace(files[split])
    return files


def rows_of(splits: Splits) -> dict[str, np.ndarray]:
    """Row numbers of a split in the CSV, from ids such as ``train/00017``."""
    return {
        name: np.array([int(identity.rpartition("/")[2]) for identity in getattr(splits, name).ids])
        for name in ("train", "validation")
    }


def time_samplers(labels: Tensor, seconds_of_scan: int) -> Numbers:
    """Seconds of one pass of partners: Likewise's measured whole, the sheet's on as many items as fit, scaled up."""
    sampler_began = time.perf_counter()
    PairSampler(labels).draw(torch.arange(len(labels)), torch.Generator().manual_seed(0))
    mine = time.perf_counter() - sampler_began
    table = np.zeros((len(labels), 785), dtype=np.int64)
    table[:, 0] = labels.numpy()
    pairs, done, began = Pairs(table, defaultdict(float)), 0, time.perf_counter()
    while time.perf_counter() - began < seconds_of_scan and done < len(labels):
        pairs.partner(done)
        done += 1
    return {"likewise": mine, "sheet": (time.perf_counter() - began) * len(labels) / done, "sheet_items": done}


def totals(result: dict[str, Any]) -> tuple[float, float]:
    """Seconds of the sheet's job, and of everything."""
    whole = sum(result["seconds"].values())
    return whole - result["seconds"].get("beyond the sheet", 0.0), whole


def show(rounds: list[dict[str, Any]], samplers: Numbers) -> dict[str, float]:
    names = list(
        dict.fromkeys(name for entry in rounds for who in ("sheet", "likewise") for name in entry[who]["seconds"])
    )
    print(f"\n{'median seconds':24s}{'sheet':>10s}{'likewise':>10s}")
    for name in names:
        both = [
            statistics.median(entry[who]["seconds"].get(name, 0.0) for entry in rounds) for who in ("sheet", "likewise")
        ]
        print(f"{name:24s}{both[0]:10.1f}{both[1]:10.1f}")
    sheet = statistics.median(totals(entry["sheet"])[1] for entry in rounds)
    same, whole = (statistics.median(totals(entry["likewise"])[part] for entry in rounds) for part in (0, 1))
    print(f"{'same job':24s}{sheet:10.1f}{same:10.1f}   ratio {same / sheet:.2f}  (target 0.40)")
    print(f"{'whole':24s}{sheet:10.1f}{whole:10.1f}   ratio {whole / sheet:.2f}")
    print(
        f"pair sampler, one pass: sheet {samplers['sheet']:.1f} s, likewise {samplers['likewise']:.4f} s  (target 0.1)"
    )
    for objective in OBJECTIVES:
        for key, label in (
            ("val_accuracy", "1-NN validation"),
            ("accuracy", "1-NN test"),
            ("trustworthiness", "t-SNE trust@10"),
        ):
            shown = [
                f"{who} " + " ".join(f"{100 * entry[who]['numbers'][objective][key]:.1f}" for entry in rounds)
                for who in ("sheet", "likewise")
            ]
            print(f"{objective:14s}{label:18s}{'   '.join(shown)}   (per cent, one number a seed)")
    return {"same_job_ratio": same / sheet, "whole_ratio": whole / sheet}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the four Fashion-MNIST idx files")
    parser.add_argument("--csv", type=Path, default=Path(tempfile.gettempdir()), help="where the CSV files lie or go")
    parser.add_argument("--rounds", type=int, default=3, help="seeds 0 … n-1")
    parser.add_argument("--quick", action="store_true", help="2,850 images, 1 epoch, 500 points: a check, no result")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    train_size, validation, epochs, points = (2850, 500, 1, 500) if options.quick else (57_000, 3000, 5, 3000)
    csv = write_csv(options.data, options.csv)
    rounds: list[dict[str, Any]] = []
    samplers: Numbers = {}
    for seed in range(options.rounds):
        splits = load_splits(options.data, validation=validation, seed=seed, train_size=train_size)
        assert splits.train.labels is not None
        samplers = samplers or time_samplers(splits.train.labels, 2 if options.quick else 60)
        both: dict[str, Callable[[], dict[str, Any]]] = {
            "sheet": lambda splits=splits, seed=seed: plain(csv, rows_of(splits), epochs, points, seed),
            "likewise": lambda splits=splits, seed=seed: ours(options.data, splits, epochs, points, seed),
        }
        order = list(both) if seed % 2 == 0 else list(both)[::-1]
        rounds.append({"seed": seed, **{who: both[who]() for who in order}})
        ratios = show(rounds, samplers)
        options.out.parent.mkdir(parents=True, exist_ok=True)
        machine = {
            "machine": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "torch": torch.__version__,
        }
        options.out.write_text(
            json.dumps({**machine, "quick": options.quick, **ratios, "sampler": samplers, "rounds": rounds}, indent=2)
            + "\n"
        )


if __name__ == "__main__":
    main()
