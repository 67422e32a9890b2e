"""How fast an index answers, how well its approximate search finds, and what embedding a source costs beside the encoder.

    python benchmarks/search.py                                   60,000 × 64, 200,000 × 128 and 60,000 images
    python benchmarks/search.py --rows 1000000 --only approximate     four minutes on two cores, 3 GB of memory

Ours and theirs run in turn in one process, on as many threads as it has; what counts is the median over rounds of the ratio
within a round. The embeddings are clusters with overlapping tails and a decaying spectrum, as trained ones are. Writes
``benchmarks/results/search.json``, where what was not measured this time stays, and prints a Markdown table. Needs the extras
``benchmarks`` and ``index``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from likewise.index import Index
from likewise.index.rows import item_schema
from likewise.index.stream import embedding_column
from likewise.models import EmbeddingModel, InputSpec, MLPOptions, SmallCNNOptions, save_model

RESULTS = Path(__file__).parent / "results" / "search.json"
K = 10
THUMBNAIL = 700  # bytes: a JPEG of 28 pixels


def clusters(rows: int, dimension: int, seed: int, centres: int = 200) -> np.ndarray:
    random = np.random.default_rng(0)
    spectrum = np.geomspace(1, 0.05, dimension)
    middle = random.normal(size=(centres, dimension)) * spectrum
    random = np.random.default_rng(seed)
    noise = random.normal(size=(rows, dimension)).astype(np.float32) * (0.6 * spectrum).astype(np.float32)
    found: np.ndarray = middle.astype(np.float32)[random.integers(0, centres, rows)] + noise
    return found


def index_of(folder: Path, embeddings: np.ndarray) -> Index:
    """An index with these rows, as if a model had given them."""
    import pyarrow as pa

    spec = InputSpec(channels=1, height=1, width=1, mean=(0.0,), std=(1.0,))
    model = EmbeddingModel(MLPOptions(widths=(1,)), spec, embedding_dim=embeddings.shape[1])
    index = Index.create(folder, model, distance="euclidean")
    schema = item_schema(embeddings.shape[1], {})
    for first in range(0, len(embeddings), 2**17):
        part = embeddings[first : first + 2**17]
        columns = [pa.nulls(len(part), field.type) for field in schema]
        columns[0] = pa.array([str(first + i) for i in range(len(part))])
        columns[schema.names.index("thumbnail")] = pa.array([bytes(THUMBNAIL)] * len(part), pa.binary())
        columns[schema.names.index("embedding")] = embedding_column(part)
        index._items.write(pa.Table.from_arrays(columns, schema=schema), replace=False)
    return index


def seconds(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def paired(ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int) -> dict[str, float]:
    ours(), theirs()
    times = [(seconds(ours), seconds(theirs)) for _ in range(rounds)]
    return {
        "ours_seconds": statistics.median(mine for mine, _ in times),
        "theirs_seconds": statistics.median(other for _, other in times),
        "ratio": statistics.median(mine / other for mine, other in times),
    }


def exact(folder: Path, rounds: int) -> dict[str, Any]:
    import faiss

    gallery, queries = clusters(60_000, 64, 1), clusters(1000, 64, 2)
    index, flat = index_of(folder / "exact", gallery), faiss.IndexFlatL2(64)
    flat.add(gallery)
    ids, _ = index.neighbors(queries, K)
    assert np.mean(np.array(ids, int) == flat.search(queries, K)[1]) > 0.999
    many = paired(lambda: index.neighbors(queries, K), lambda: flat.search(queries, K), rounds)
    one = paired(
        lambda: [index.neighbors(query[None], K) for query in queries],
        lambda: [flat.search(query[None], K) for query in queries],
        rounds,
    )
    with_rows = paired(
        lambda: [index.search(embedding=query, k=K) for query in queries[:200]],
        lambda: [index.neighbors(query[None], K) for query in queries[:200]],
        rounds,
    )
    return {
        "1,000 queries at once, against faiss IndexFlatL2": many,
        "1,000 queries one by one, against faiss IndexFlatL2": one,
        "200 searches with all that is known of the hits, against their ids alone": with_rows,
    }


def approximate(folder: Path, rounds: int, rows: int) -> dict[str, Any]:
    gallery, queries = clusters(rows, 128, 1), clusters(200, 128, 2)
    index = index_of(folder / "approximate", gallery)
    built_in = seconds(lambda: index.build(recall=0.98))
    opened_in = seconds(lambda: Index.open(index.folder).neighbors(queries[:1], K))
    found = index.manifest.approximate
    assert found is not None
    one = paired(
        lambda: [index.neighbors(query[None], K) for query in queries],
        lambda: [index.neighbors(query[None], K, exact=True) for query in queries],
        rounds,
    )
    nearly, true = (np.stack(index.neighbors(queries, K, exact=exact)[1]) for exact in (None, True))
    return {
        f"{rows:,} × 128, 200 queries one by one, against our exact search": one
        | {
            "build_seconds": built_in,
            "open_seconds": opened_in,
            "recall_at_10": float((nearly <= true[:, -1:] * (1 + 1e-6)).mean()),
            "recall_at_10_when_built": found.recall,
            "probes": found.probes,
            "partitions": found.partitions,
        }
    }


def embed(folder: Path, rounds: int) -> dict[str, Any]:
    from likewise.verbs import embed as embed_source

    images = np.random.default_rng(0).integers(0, 256, (60_000, 28, 28), dtype=np.uint8)
    (folder / "images").mkdir()
    (folder / "images" / "train-images-idx3-ubyte").write_bytes(
        b"\0\0\x08\x03" + np.array(images.shape, ">i4").tobytes() + images.tobytes()
    )
    (folder / "images" / "train-labels-idx1-ubyte").write_bytes(
        b"\0\0\x08\x01" + np.array([60_000], ">i4").tobytes() + bytes(60_000)
    )
    model = EmbeddingModel(
        SmallCNNOptions(), InputSpec.measure(torch.from_numpy(images[:1000, None])), embedding_dim=64
    ).eval()
    save_model(model, folder / "model")
    options: dict[str, Any] = {"overwrite": True, "quiet": True}
    both = paired(
        lambda: embed_source(folder / "model", folder / "images", folder / "out.parquet", **options),
        lambda: model.embed(images, batch_size=256),
        rounds,
    )
    return {"likewise embed of 60,000 images, against the encoder alone": both}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--only", nargs="+", choices=("exact", "approximate", "embed"))
    arguments = parser.parse_args()
    wanted = arguments.only or ("exact", "approximate", "embed")
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "exact" in wanted:
            found |= exact(folder, arguments.rounds)
        if "approximate" in wanted:
            found |= approximate(folder, arguments.rounds, arguments.rows)
        if "embed" in wanted:
            found |= embed(folder, arguments.rounds)
    print("| what | ours, s | theirs, s | ratio | |")
    print("| --- | --- | --- | --- | --- |")
    for what, numbers in found.items():
        more = ", ".join(f"{key} {value:.4g}" for key, value in numbers.items() if key not in _SHOWN)
        print(f"| {what} | {' | '.join(f'{numbers[key]:.3f}' for key in _SHOWN)} | {more} |")
    machine = {
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "rounds": arguments.rounds,
        "versions": {package: version(package) for package in ("lancedb", "faiss-cpu", "torch", "numpy")},
    }
    RESULTS.parent.mkdir(exist_ok=True)
    before = json.loads(RESULTS.read_text(encoding="utf-8"))["measured"] if RESULTS.is_file() else {}
    document = {"machine": machine, "measured": before | found}
    RESULTS.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


_SHOWN = ("ours_seconds", "theirs_seconds", "ratio")

if __name__ == "__main__":
    main()
