"""``likewise push`` against a small hub of our own: what arrives is what lies in the folder, or nothing."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants

from command_line import Cli
from likewise.errors import RunError
from likewise.export import push

TOKEN = "hf_writer"


class Hub:
    """The endpoints that an upload of small files needs, as huggingface.co answers them."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.created: list[dict[str, Any]] = []
        self.public: set[str] = set()
        self.lost = False  # hang up, whatever is sent
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.removeprefix("/api/models/").split("/revision")[0].split("?")[0]
                self.answer({"id": name, "private": name not in hub.public, "sha": "0" * 40, "siblings": []})

            def do_HEAD(self) -> None:
                self.do_GET()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                    self.answer({"error": "You may not write here"}, 403)
                elif hub.lost:
                    self.close_connection = True
                elif self.path == "/api/repos/create":
                    hub.created.append(json.loads(body))
                    name = f"{hub.created[-1]['organization']}/{hub.created[-1]['name']}"
                    self.answer({"url": f"{hub.address}/{name}"}, 409 if name in hub.public else 200)
                elif self.path == "/api/validate-yaml":
                    self.answer({"errors": [], "warnings": []})
                elif "/preupload/" in self.path:
                    named = [one["path"] for one in json.loads(body)["files"]]
                    modes = [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in named]
                    self.answer({"files": modes})
                else:
                    for line in body.splitlines():
                        sent = json.loads(line)
                        if sent["key"] == "file":
                            hub.files[sent["value"]["path"]] = base64.b64decode(sent["value"]["content"])
                    url = f"{hub.address}/ada/digits/commit/{'1' * 40}"
                    self.answer({"success": True, "commitOid": "1" * 40, "commitUrl": url})

            def answer(self, value: dict[str, Any], status: int = 200) -> None:
                content = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    made = Hub()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    for name in ("LIKEWISE_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", made.address)
    monkeypatch.setenv("HF_ENDPOINT", made.address)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "digits"
    (made / "image_1_Pooling").mkdir(parents=True)
    (made / "README.md").write_text("---\nlibrary_name: likewise\n---\n# Digits\n")
    (made / "config.json").write_text("{}")
    (made / "image_1_Pooling" / "model.safetensors").write_bytes(bytes(range(256)))
    return made


def test_everything_arrives(hub: Hub, folder: Path, run_cli: Cli) -> None:
    ended = run_cli("push", folder, "ada/digits", "--private")
    assert ended.code == 0, ended.err
    assert hub.created[0]["visibility"] == "private"
    there = {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    assert hub.files == there
    assert f"uploaded: {hub.address}/ada/digits/commit/" in ended.out
    assert "README.md names no licence" in ended.out


def test_a_dry_run_says_what_would_happen_and_asks_nobody(hub: Hub, folder: Path, run_cli: Cli) -> None:
    hub.server.shutdown()
    ended = run_cli("push", folder, "ada/digits", "--dry-run", "--json")
    assert ended.json()["files"] == {"README.md": 40, "config.json": 2, "image_1_Pooling/model.safetensors": 256}
    assert ended.json()["address"] is None
    assert ended.json()["token"] is True


def test_what_was_to_be_private_never_lands_in_public(hub: Hub, folder: Path) -> None:
    hub.public.add("ada/digits")
    with pytest.raises(RunError, match=r"ada/digits is there already, and it is public\. .*nothing was uploaded"):
        push(folder, "ada/digits", private=True)
    assert hub.files == {}
    push(folder, "ada/digits")
    assert len(hub.files) == 3


def test_a_network_that_is_lost_on_the_way_is_said(hub: Hub, folder: Path, run_cli: Cli) -> None:
    hub.lost = True
    ended = run_cli("push", folder, "ada/digits")
    assert ended.code == 2
    assert "RunError: The upload to ada/digits broke off (" in ended.err
    assert "Push again" in ended.err
    assert "Traceback" not in ended.err
    assert hub.files == {}


def test_refusals_are_said(hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not the name of a repository"):
        push(folder, "digits")
    with pytest.raises(RunError, match="is not an exported folder"):
        push(tmp_path, "ada/digits")
    monkeypatch.setenv("HF_TOKEN", "hf_reader")
    with pytest.raises(RunError, match=r"The hub refused ada/digits \(.*You may not write here"):
        push(folder, "ada/digits")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(RunError, match="cannot be reached"):
        push(folder, "ada/digits")
    monkeypatch.setenv("LIKEWISE_OFFLINE", "1")
    with pytest.raises(RunError, match="LIKEWISE_OFFLINE"):
        push(folder, "ada/digits")
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(RunError, match="There is no token"):
        push(folder, "ada/digits")
    assert hub.files == {}
