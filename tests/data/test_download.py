"""Against a real server on this machine that can cut a connection, ignore Range and serve the wrong bytes."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from likewise.data.download import ATTEMPTS, fetch, md5_is
from likewise.errors import DatasetError

CONTENT = bytes(range(256)) * 4000  # 1 MB


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT at any address; counts requests and remembers their Range headers."""

    cut_after = 0  # bytes per connection; 0 is no cut
    ranges = True
    content = CONTENT
    missing = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/file.bin"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        if self.server.missing:
            self.send_error(404)
            return
        whole = self.server.content
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.server.ranges else 0
        if start >= len(whole):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(whole)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(whole) - 1}/{len(whole)}")
        self.send_header("Content-Length", str(len(whole) - start))
        self.end_headers()
        end = start + self.server.cut_after if self.server.cut_after else len(whole)
        self.wfile.write(whole[start:end])
        self.close_connection = True

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("LIKEWISE_OFFLINE", "HF_HUB_OFFLINE", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


right = md5_is(hashlib.md5(CONTENT).hexdigest())


def test_a_whole_file_arrives(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file.bin"
    assert fetch([server.url], target, right) == server.url
    assert target.read_bytes() == CONTENT
    assert fetch([server.url], target, right) == ""
    assert server.asked == [None]


def test_a_cut_connection_is_resumed(server: Server, tmp_path: Path) -> None:
    server.cut_after = 300_000
    fetch([server.url], tmp_path / "file.bin", right)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=300000-", "bytes=600000-", "bytes=900000-"]


def test_a_half_written_file_is_never_taken_for_whole(server: Server, tmp_path: Path) -> None:
    server.cut_after = len(CONTENT) // (ATTEMPTS + 2)
    target = tmp_path / "file.bin"
    with pytest.raises(DatasetError, match=r"connection ended after [\d,]+ of 1,024,000 bytes"):
        fetch([server.url], target, right)
    assert not target.exists()
    kept = (tmp_path / "file.bin.part").stat().st_size
    assert kept == server.cut_after * ATTEMPTS
    server.cut_after, server.asked = 0, []
    fetch([server.url], target, right)
    assert server.asked == [f"bytes={kept}-"]
    assert target.read_bytes() == CONTENT
    assert not (tmp_path / "file.bin.part").exists()


def test_a_server_without_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(b"something else")
    server.ranges = False
    fetch([server.url], tmp_path / "file.bin", right)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_wrong_content_is_refused_and_not_kept(server: Server, tmp_path: Path) -> None:
    server.content = CONTENT[:-1] + b"!"
    with pytest.raises(DatasetError, match="its MD5 is"):
        fetch([server.url], tmp_path / "file.bin", right)
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_another_file_do_not_survive_the_checksum(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(b"x" * 1000)
    with pytest.raises(DatasetError, match="its MD5 is"):
        fetch([server.url], tmp_path / "file.bin", right)
    fetch([server.url], tmp_path / "file.bin", right)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_complete_part_needs_no_byte_more(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    fetch([server.url], tmp_path / "file.bin", right)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_part_longer_than_the_file_starts_over(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT + b"more")
    fetch([server.url], tmp_path / "file.bin", right)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_the_next_address_is_tried(server: Server, tmp_path: Path) -> None:
    closed = "http://127.0.0.1:9/file.bin"
    assert fetch([closed, server.url], tmp_path / "file.bin", right) == server.url


def test_every_failed_address_is_in_the_message(server: Server, tmp_path: Path) -> None:
    server.missing = True
    with pytest.raises(DatasetError, match=r"127.0.0.1:9/a: .*refused.*Not Found"):
        fetch(["http://127.0.0.1:9/a", server.url], tmp_path / "file.bin", right)


def test_offline_never_connects(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIKEWISE_OFFLINE", "1")
    with pytest.raises(DatasetError, match="LIKEWISE_OFFLINE"):
        fetch([server.url], tmp_path / "file.bin", right)
    assert server.asked == []
