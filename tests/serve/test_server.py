"""The verb as a person starts it: a process of its own that is asked over a socket, abused, asked again, and stopped."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import shutil
import signal
import socket
import struct
import sys
import zlib
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

import httpx
import numpy as np
import pytest

import likewise as lw
from command_line import Cli
from likewise import cli
from likewise.errors import SearchIndexError
from likewise.index import Index, index_of_run, open_index
from likewise.serve import listen
from likewise.training import Run

from .conftest import Ask, png
from .test_api import ids_in, refused


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


BOMB = (
    b"\x89PNG\r\n\x1a\n"
    + chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0))
    + chunk(b"IDAT", zlib.compress(bytes(10**6)))
    + chunk(b"IEND", b"")
)


def start(writing: Connection, arguments: list[str], token: str | None) -> None:
    """The command line in a process of its own; what it prints goes into the pipe."""
    os.dup2(writing.fileno(), 1)
    sys.stdout = os.fdopen(1, "w")
    sys.argv = ["likewise", "serve", *arguments, "--port", "0", "--json"]
    if token is not None:
        os.environ["LIKEWISE_TOKEN"] = token
    cli.main()


class Server:
    def __init__(self, *arguments: object, token: str | None = None) -> None:
        # Forked from a process that has imported the package: starting Python costs more than all of a test.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["likewise.verbs"])
        reading, writing = context.Pipe(duplex=False)
        self.process = context.Process(target=start, args=(writing, list(map(str, arguments)), token))
        self.process.start()
        writing.close()
        self.output = os.fdopen(os.dup(reading.fileno()))
        reading.close()
        self.said = json.loads("".join(iter(self.output.readline, "}\n")) + "}")
        self.client = httpx.Client(base_url=self.said["address"], timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.process.kill()
        self.process.join()
        self.output.close()

    def stop(self, number: int) -> tuple[int | None, str]:
        """Exit code after a signal, and what else was printed."""
        os.kill(self.process.pid or 0, number)
        return self.ended()

    def ended(self) -> tuple[int | None, str]:
        self.process.join(20)
        return self.process.exitcode, self.output.read()


@pytest.fixture(scope="module")
def server(index: lw.Index) -> Iterator[Server]:
    with Server(index.folder) as started:
        yield started


def search(server: Server, **options: Any) -> httpx.Response:
    return server.client.post("/search", **options)


def test_fifty_at_a_time_get_what_each_alone_gets(server: Server, ask: Ask, digits: lw.ImageDataset) -> None:
    requests: list[dict[str, Any]] = []
    for number in range(25):
        data = {"k": str(3 + number % 4), "filter": f"price > {number}"} if number % 2 else {"k": "5"}
        requests += [{"data": {"text": f"the digit {number % 10}"} | data}]
        requests += [{"files": {"image": png(digits.images[number])}, "data": data}]

    async def together() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=server.said["address"], timeout=30) as client:
            return await asyncio.gather(*(client.post("/search", **request) for request in requests))

    for request, answer in zip(requests, asyncio.run(together()), strict=True):
        alone = ask("POST", "/search", **request).json()["hits"]
        assert ids_in(answer) == [hit["id"] for hit in alone]
        for hit, other in zip(answer.json()["hits"], alone, strict=True):
            assert hit["distance"] == pytest.approx(other["distance"], abs=1e-5)
    sizes = server.client.get("/metrics").text
    batches = [line for line in sizes.splitlines() if line.startswith("likewise_batch_size_count")]
    assert sum(float(line.split()[-1]) for line in batches) < 100  # 25 images, 25 texts and 50 searches


def test_a_gigabyte_is_refused_while_it_is_sent(server: Server) -> None:
    sent = 0

    def gigabyte() -> Iterator[bytes]:
        nonlocal sent
        yield b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
        for _ in range(1024):
            sent += 2**20
            yield bytes(2**20)

    answer = search(server, content=gigabyte(), headers={"Content-Type": "multipart/form-data; boundary=x"})
    refused(answer, 413, "16,777,216 bytes")
    assert sent < 2**30
    assert server.client.get("/health").json()["status"] == "ok"


def test_abuse_is_refused_and_the_server_is_well(server: Server, digits: lw.ImageDataset) -> None:
    picture = png(digits.images[17])
    refused(search(server, files={"image": ("bomb.png", BOMB)}), 413, "bomb.png is a decompression bomb")
    refused(
        search(server, files={"image": ("half.png", picture[: len(picture) // 2])}), 400, "half.png is not a readable"
    )
    refused(search(server, files={"image": ("shell.png", b"#!/bin/sh\n")}), 400, "no known format")
    refused(search(server, data={"text": "a", "filter": "label=1; DROP TABLE items"}), 400, "';' at position 7")
    refused(search(server, data={"text": "shoe " * 10_000}), 413, "10,000 words")
    # Not through the client, which would put the path in order before it asks.
    host, port = server.said["address"].removeprefix("http://").split(":")
    for path in ("/thumbnail/../../../../etc/passwd", "/thumbnail//etc/passwd", "/neighbors/..%2f..%2findex.json"):
        with socket.create_connection((host, int(port)), 10) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 404")
        assert b"There is no image" in answer
    assert ids_in(search(server, files={"image": picture}, data={"k": "1"})) == [digits.ids[17]]


def test_a_request_under_way_is_answered_before_the_end(index: lw.Index) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="text"\r\n\r\nseven\r\n--x--\r\n'
    head = (
        f"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\nAuthorization: Bearer sesame\r\n"
    )
    with Server(index.folder, "--host", "0.0.0.0", token="sesame") as server:
        assert server.said["token"] is True
        port = int(server.said["address"].rpartition(":")[2])
        refused(server.client.get("/health"), 401)
        with socket.create_connection(("127.0.0.1", port), 20) as connection:
            connection.sendall(
                f"{head}Content-Type: multipart/form-data; boundary=x\r\nExpect: 100-continue\r\n\r\n".encode()
            )
            assert connection.recv(65536).startswith(b"HTTP/1.1 100")  # the server reads the body now
            os.kill(server.process.pid or 0, signal.SIGTERM)
            connection.sendall(body)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 200")
        assert server.ended() == (0, "")


def test_ctrl_c_ends_it_well(server: Server) -> None:
    assert server.stop(signal.SIGINT) == (0, "")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lw.train(
        "digits-crossentropy", tmp_path_factory.mktemp("trained") / "run", budget="smoke", quiet=True
    ).folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Run:
    return Run.load(shutil.copytree(trained, tmp_path / "run"))


def test_the_run_is_indexed_once_and_goes_on_where_it_was(
    run: Run, monkeypatch: pytest.MonkeyPatch, run_cli: Cli, tmp_path: Path
) -> None:
    add, added = Index.add, []

    def add_until_test(self: Index, data: Any, **options: Any) -> Any:
        if data.split == "test" and not added:
            added.append(len(self))
            raise KeyboardInterrupt
        return add(self, data, **options)

    monkeypatch.setattr(Index, "add", add_until_test)
    with pytest.raises(KeyboardInterrupt):
        index_of_run(run, quiet=True)
    assert not (run.folder / "index").exists()
    index = open_index(run.folder, quiet=True)
    data = run.data()
    assert added == [len(data.train) + len(data.validation)]
    assert len(index) == added[0] + len(data.test)
    embedded = run.embeddings("test")
    found = index.lookup(embedded.ids, ["embedding", "split", "label"])
    assert {row["split"] for row in found if row} == {"test"}
    np.testing.assert_allclose([row["embedding"] for row in found if row], embedded.embeddings, atol=1e-4)
    assert [row["label"] for row in found if row] == embedded.labels.tolist()
    # Found again, without the images.
    monkeypatch.setattr(Run, "data", lambda self: pytest.fail("the images are not needed again"))
    assert len(open_index(run.folder, quiet=True)) == len(index)
    (tmp_path / "test.png").write_bytes(png(data.test.images[4]))
    searched = run_cli("search", run.folder, "--image", tmp_path / "test.png", "-k", 1, "--json")
    assert [hit["id"] for hit in searched.json()] == [data.test.ids[4]]
    assert not list(run.folder.glob(".index*"))


def test_an_index_of_another_model_is_not_taken_for_the_runs(index: lw.Index, run: Run) -> None:
    (run.folder / "index").symlink_to(index.folder)
    with pytest.raises(SearchIndexError, match="of another model than the run's"):
        open_index(run.folder)


def test_an_address_is_had_or_named(tmp_path: Path, run_cli: Cli, index: lw.Index) -> None:
    with listen("127.0.0.1", 0, None) as taken:
        port = taken.getsockname()[1]
        ended = run_cli("serve", index.folder, "--port", port)
    assert (ended.code, ended.out) == (2, "")
    assert f"127.0.0.1:{port} cannot be listened at" in ended.err
    for arguments, said in [
        ((tmp_path,), "neither an index nor a run"),
        ((tmp_path / "nowhere",), "neither an index nor a run"),
        ((index.folder, "--host", "0.0.0.0"), "lets other machines in, and there is no token"),
        ((index.folder, "--host", "::"), "lets other machines in, and there is no token"),
        ((index.folder, "--host", "192.0.2.1", "--token", "x"), "192.0.2.1:0 cannot be listened at"),
        ((index.folder, "--host", "no such host"), "there is no token"),
        ((index.folder, "--token", ""), "The token is empty"),
    ]:
        ended = run_cli("serve", *arguments, "--port", 0)
        assert (ended.code, ended.out) == (2, "")
        assert said in ended.err
        assert "Traceback" not in ended.err
