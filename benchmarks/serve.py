"""What the server holds: fifty clients for a minute, searching by words and by images, against one at a time.

    python benchmarks/serve.py                                    50 clients, 60 seconds, 60,000 × 64
    python benchmarks/serve.py --seconds 5 --rows 5000            a try

The server is the one that ``likewise serve`` starts, in a process of its own; the clients are in this one, on the same
cores, and speak HTTP over as many connections. Half of the requests are sentences, half are PNG files of 40 × 40 pixels. The
model is that of ``clip-shapes`` (untrained: speed does not depend on what it learned). Memory is the server's resident
set, after the first tenth of the time and at the end. Then comes what nobody should send, each with its status and the
seconds until it was refused. Writes ``benchmarks/results/serve.json`` and prints Markdown tables.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import platform
import random
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pyarrow as pa
import torch
from PIL import Image

import likewise as lw
from likewise.index import Index
from likewise.index.rows import item_schema
from likewise.index.stream import embedding_column
from likewise.models import EmbeddingModel, InputSpec, SmallCNNOptions, SmallTransformerOptions

RESULTS = Path(__file__).parent / "results" / "serve.json"
K = 10


def make_index(folder: Path, rows: int, dimension: int) -> tuple[Index, lw.ImageDataset]:
    """Rows around embeddings of real pictures, as many as asked for, and the pictures."""
    torch.manual_seed(0)
    shapes = lw.load_dataset("shapes", "validation")
    captions = [caption for given in shapes.captions or () for caption in given]
    model = EmbeddingModel(
        SmallCNNOptions(),
        InputSpec.measure(shapes.images[:500]),
        embedding_dim=dimension,
        normalize="output",
        text_encoder=SmallTransformerOptions().fitted(captions),
    ).eval()
    index = Index.create(folder, model)
    schema = item_schema(dimension, {})
    known, generator = model.embed(shapes.images), np.random.default_rng(0)
    for first in range(0, rows, 8192):
        chosen = generator.integers(0, len(known), min(8192, rows - first))
        embeddings = known[chosen] + generator.normal(0, 0.02, (len(chosen), dimension)).astype(np.float32)
        values: dict[str, Any] = {
            "id": [f"train/{first + i:07d}" for i in range(len(chosen))],
            "split": ["train"] * len(chosen),
            "source": ["shapes"] * len(chosen),
            "item": [shapes.ids[i] for i in chosen],
        }
        columns = [
            embedding_column(embeddings)
            if field.name == "embedding"
            else pa.array(values.get(field.name, [None] * len(chosen)), field.type)
            for field in schema
        ]
        index._items.write(pa.Table.from_arrays(columns, schema=schema), replace=False)
    return index, shapes


def picture_of(shapes: lw.ImageDataset, number: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(shapes.images[number].permute(1, 2, 0).numpy()).save(buffer, "PNG")
    return buffer.getvalue()


def requests_of(shapes: lw.ImageDataset, many: int = 200) -> list[bytes]:
    """Whole HTTP requests, so that the clients cost as little as they can."""
    made = []
    for number in range(many):
        if number % 2:
            field, content = b'name="image"; filename="a.png"\r\nContent-Type: image/png', picture_of(shapes, number)
        else:
            field, content = b'name="text"', (shapes.captions or ())[number][0].encode()
        part = b"--x\r\nContent-Disposition: form-data; " + field + b"\r\n\r\n" + content + b"\r\n"
        body = part + b'--x\r\nContent-Disposition: form-data; name="k"\r\n\r\n%d\r\n--x--\r\n' % K
        head = f"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        made.append(head.encode() + b"Content-Type: multipart/form-data; boundary=x\r\n\r\n" + body)
    return made


class Client:
    """One connection that asks, waits for the answer, and asks again until the end."""

    def __init__(self, port: int, requests: list[bytes], seed: int) -> None:
        self._port = port
        self._requests = requests
        self._random = random.Random(seed)
        self.seconds: list[float] = []
        self.errors = 0

    async def run(self, until: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        while time.perf_counter() < until:
            began = time.perf_counter()
            writer.write(self._random.choice(self._requests))
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            self.seconds.append(time.perf_counter() - began)
            self.errors += not (head.startswith(b"HTTP/1.1 200") and len(json.loads(body)["hits"]) == K)
        writer.close()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(side: int = 50_000) -> bytes:
    """A PNG of some kilobytes that says it has 2.5 thousand million pixels."""
    size = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + size + chunk(b"IDAT", zlib.compress(bytes(10**7))) + chunk(b"IEND", b"")


def form(**fields: tuple[str, bytes]) -> Iterator[bytes]:
    for name, (more, content) in fields.items():
        yield f'--x\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode()
        yield content + b"\r\n"
    yield b"--x--\r\n"


def gigabyte() -> Iterator[bytes]:
    yield b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    yield from (bytes(2**20) for _ in range(2**10))


def refusals(address: str, picture: bytes) -> dict[str, dict[str, float]]:
    """Status and seconds of each kind of abuse, the server being asked whether it is well after each."""
    file = '; filename="a.png"'
    kinds: dict[str, tuple[str, Callable[[], Iterator[bytes]] | None]] = {
        "1 GB announced": ("/search", gigabyte),
        "1 GB in chunks": ("/search", gigabyte),
        "decompression bomb": ("/search", lambda: form(image=(file, bomb()))),
        "truncated image": ("/search", lambda: form(image=(file, picture[: len(picture) // 2]))),
        "path out of the index": ("/thumbnail/..%2f..%2f..%2fetc%2fpasswd", None),
        "filter with SQL in it": (
            "/search",
            lambda: form(text=("", b"a"), filter=("", b"label = 1; DROP TABLE items")),
        ),
        "10,000 words": ("/search", lambda: form(text=("", b"shoe " * 10_000))),
    }
    found = {}
    with httpx.Client(base_url=address, timeout=60) as client:
        for kind, (path, body) in kinds.items():
            headers = {"Content-Type": "multipart/form-data; boundary=x"}
            if kind == "1 GB announced":
                headers["Content-Length"] = str(2**30)
            began = time.perf_counter()
            answer = client.get(path) if body is None else client.post(path, content=body(), headers=headers)
            found[kind] = {"status": answer.status_code, "seconds": time.perf_counter() - began}
            assert 400 <= answer.status_code < 500, (kind, answer.text)
            assert client.get("/health").status_code == 200
    return found


async def load(
    port: int, requests: list[bytes], clients: int, seconds: float, process: psutil.Process
) -> dict[str, Any]:
    asking = [Client(port, requests, seed) for seed in range(clients)]
    began, busy = time.perf_counter(), sum(process.cpu_times()[:2])
    under_way = asyncio.gather(*(client.run(began + seconds) for client in asking))
    await asyncio.sleep(seconds / 10)
    before = process.memory_info().rss
    await under_way
    took = time.perf_counter() - began
    times = np.sort(np.concatenate([client.seconds for client in asking]))
    return {
        "clients": clients,
        "seconds": took,
        "requests": len(times),
        "errors": sum(client.errors for client in asking),
        "requests_per_second": len(times) / took,
        "p50_ms": 1000 * float(np.quantile(times, 0.5)),
        "p99_ms": 1000 * float(np.quantile(times, 0.99)),
        "memory_before_mb": before / 2**20,
        "memory_after_mb": process.memory_info().rss / 2**20,
        "server_cores": (sum(process.cpu_times()[:2]) - busy) / took,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--dimension", type=int, default=64)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        index, shapes = make_index(Path(name) / "index", arguments.rows, arguments.dimension)
        requests = requests_of(shapes)
        command = [sys.executable, "-m", "likewise", "serve", str(index.folder), "--port", "0", "--json"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            lines = iter(server.stdout.readline, "}\n")
            port = int(json.loads("".join(lines) + "}")["address"].rpartition(":")[2])
            process = psutil.Process(server.pid)
            asyncio.run(load(port, requests, 4, 2, process))  # first requests read the table
            found = [
                asyncio.run(load(port, requests, 1, arguments.seconds / 4, process)),
                asyncio.run(load(port, requests, arguments.clients, arguments.seconds, process)),
            ]
            refused = refusals(f"http://127.0.0.1:{port}", picture_of(shapes, 0))
            server.terminate()
            ended = server.wait(20)
        finally:
            server.kill()
    keys = ["clients", "requests_per_second", "p50_ms", "p99_ms", "errors", "memory_before_mb", "memory_after_mb"]
    print(f"| {' | '.join(keys)} |\n|{' --- |' * len(keys)}")
    for one in found:
        print(f"| {' | '.join(f'{one[key]:.4g}' for key in keys)} |")
    print("\n| sent | status | seconds |\n| --- | --- | --- |")
    for kind, one in refused.items():
        print(f"| {kind} | {one['status']} | {one['seconds']:.3f} |")
    machine = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "rows": arguments.rows,
        "dimension": arguments.dimension,
        "k": K,
        "versions": {package: version(package) for package in ("lancedb", "fastapi", "uvicorn", "torch", "numpy")},
    }
    RESULTS.parent.mkdir(exist_ok=True)
    document = {"machine": machine, "measured": found, "refused": refused, "exit_code_after_sigterm": ended}
    RESULTS.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
