"""What the explorer page is given: points as typed arrays, lists, files, and how it follows the index."""

from __future__ import annotations

import json
import re
import time
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import likewise as lw
from likewise.serve import create_app
from likewise.serve.explored import Explored
from likewise.serve.findings import find
from likewise.serve.kept import FILE, read_kept, write_kept
from likewise.serve.look import look_through
from likewise.serve.snapshot import Categories, Numbers, read_snapshot

from .conftest import ROWS, Ask, calling, make_model


def decoded(content: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """As the page does it."""
    length = int.from_bytes(content[:4], "little")
    header = json.loads(content[4 : 4 + length])
    arrays, at = {}, 4 + length
    for array in header["arrays"]:
        arrays[array["name"]] = np.frombuffer(content, array["type"], array["length"], at)
        at += -(-arrays[array["name"]].nbytes // 4) * 4
    assert at == len(content)
    return header, arrays


@pytest.fixture(scope="module")
def looked_at(index: lw.Index) -> lw.Index:
    look_through(index, index.folder)
    return index


@pytest.fixture(scope="module")
def ask(looked_at: lw.Index, images_only: lw.Index) -> Ask:
    return calling(create_app(looked_at, others=[images_only]))


def test_points_hold_every_image_with_all_columns(ask: Ask, looked_at: lw.Index, digits: lw.ImageDataset) -> None:
    header, arrays = decoded(ask("GET", "/points").content)
    assert (header["rows"], header["total"], header["index"], header["captions"]) == (ROWS, ROWS, "shop", True)
    starts = arrays["id.offsets"]
    letters = arrays["id.letters"].tobytes().decode()
    ids = [letters[starts[row] : starts[row + 1]] for row in range(ROWS)]
    assert sorted(ids) == sorted(digits.ids)
    columns = {column["name"]: column for column in header["columns"]}
    assert list(columns) == [
        *("label", "prediction", "error", "cluster", "anomaly", "issue", "price", "shop", "Sold"),
    ]
    place = [digits.ids.index(identity) for identity in ids]
    names = columns["label"]["names"]
    assert [names[code] for code in arrays["label"]] == [digits.class_names[digits.labels[i]] for i in place]
    np.testing.assert_array_equal(arrays["price"], np.arange(float(ROWS), dtype=np.float32)[place])
    assert columns["Sold"]["names"] == ["no", "yes"]
    assert set(arrays["Sold"].tolist()) == {-1, 0, 1}
    np.testing.assert_array_equal(arrays["error"], arrays["prediction"] != arrays["label"])
    assert [plane["name"] for plane in header["planes"]] == ["tsne", "pca"]
    assert np.isfinite(arrays["tsne.x"]).all()
    assert arrays["tsne.x"].std() > 0


def test_lists_and_what_cannot_be_asked_for(ask: Ask, tmp_path: Path) -> None:
    assert ask("GET", "/points").status_code == 200  # by then what was kept has been read
    (shown, other) = ask("GET", "/explorer").json()
    assert (shown["name"], shown["found"], shown["tsne"], other["name"]) == ("shop", True, True, "images")
    totals = {each["name"]: each["total"] for each in shown["lists"]}
    assert totals["leaks"] is None
    listed = ask("GET", "/lists/outliers", params={"limit": 7}).json()
    assert (len(listed["rows"]), listed["total"]) == (7, totals["outliers"])
    for address, status in (
        ("/lists/leaks", 409),
        ("/lists/secrets", 404),
        ("/points?index=2", 404),
        ("/lists/outliers?limit=0", 400),
        ("/page/..%2fexplore.py", 404),
        ("/page/%2e%2e", 404),
        ("/page/nothing.js", 404),
    ):
        assert ask("GET", address).status_code == status, address


def test_page_files_are_cached_by_tag_and_held_to_this_server(ask: Ask) -> None:
    page = ask("GET", "/")
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy
    script = ask("GET", "/page/plotly.min.js")
    assert "plotly.js v" in script.text[:300]
    again = ask("GET", "/page/plotly.min.js", headers={"If-None-Match": script.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert len(ask("GET", "/page/plotly.min.js", headers={"Accept-Encoding": "identity"}).content) > 3_000_000


def test_all_scripts_are_asked_for_at_once(ask: Ask) -> None:
    folder = resources.files("likewise.serve") / "page"
    scripts = {entry.name for entry in folder.iterdir() if entry.name.endswith(".js")}
    page = ask("GET", "/").text
    assert set(re.findall(r'<link rel="modulepreload" href="page/(.+?)"', page)) == scripts - {"main.js"}


def test_points_are_sent_again_only_when_they_have_changed(tmp_path: Path, digits: lw.ImageDataset) -> None:
    index = lw.Index.create(tmp_path / "shop", make_model(text=False))
    index.add(digits.subset(torch.arange(1)))
    ask = calling(create_app(index))
    first = ask("GET", "/points")
    tag = {"If-None-Match": first.headers["etag"]}
    again = ask("GET", "/points", headers=tag)
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    index.delete(filter="id <> ''")
    until(lambda: ask("GET", "/points", headers=tag).status_code == 200)
    assert decoded(ask("GET", "/points", headers=tag).content)[0]["rows"] == 0


def until(condition: Any) -> None:
    deadline = time.monotonic() + 240  # it yields to all other processes
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_another_process_looks_and_a_commit_and_a_repair_begin_anew(
    tmp_path: Path, digits: lw.ImageDataset, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("likewise.serve.explored._REST", 1.0)
    # What lies where the server was started is no part of it.
    (tmp_path / "random.py").write_text("raise SystemExit('a file of the user was run')\n")
    monkeypatch.chdir(tmp_path)
    index = lw.Index.create(tmp_path / "shop", make_model(text=False))
    explored = Explored(index)
    assert len(explored.picture().snapshot) == 0
    (index.folder / FILE).mkdir()
    index.add(digits.subset(torch.arange(30)))
    until(lambda: explored.state()["failed"])
    assert explored.state()["failed"].startswith("It could not be looked through: what happened stands in the log")
    assert (
        f"shop could not be looked through: IsADirectoryError: [Errno 21] Is a directory: '{index.folder}"
        in caplog.text
    )
    (index.folder / FILE).rmdir()
    until(lambda: explored.state()["tsne"])
    assert explored.state()["failed"] == ""
    picture = explored.picture()
    assert len(picture.snapshot) == 30
    assert picture.findings.neighbors.shape == (30, 20)
    assert len(picture.snapshot.embeddings) == 0  # the index's own lie in memory already
    explored.close()
    assert read_kept(index.folder, picture.snapshot.version, 30) is not None


def test_kept_findings_are_of_one_version_and_damage_is_noticed(
    tmp_path: Path, index: lw.Index, caplog: pytest.LogCaptureFixture
) -> None:
    findings = find(read_snapshot(index), "cosine")
    write_kept(tmp_path, 3, findings, None)
    again, flat = read_kept(tmp_path, 3, ROWS)
    assert flat is None
    np.testing.assert_array_equal(again.neighbors, findings.neighbors)
    np.testing.assert_array_equal(again.judged.suspects, findings.judged.suspects)
    assert again.pair_threshold == findings.pair_threshold
    assert read_kept(tmp_path, 4, ROWS) is None
    assert read_kept(tmp_path, 3, ROWS + 1) is None
    (tmp_path / FILE).write_bytes(b"half")
    assert read_kept(tmp_path, 3, ROWS) is None
    assert "is damaged" in caplog.text


def test_a_large_index_is_drawn_at_random_and_columns_fit_their_kind(index: lw.Index) -> None:
    part = read_snapshot(index, most=50)
    assert (len(part), part.total) == (50, ROWS)
    whole = read_snapshot(index)
    rows = [whole.ids.to_pylist().index(identity) for identity in part.ids.to_pylist()]
    assert rows == sorted(rows)
    np.testing.assert_array_equal(part.embeddings, whole.embeddings[rows])
    assert isinstance(whole.columns["price"], Numbers)
    assert whole.columns["shop"] == Categories(("north", "south's"), whole.columns["shop"].codes)
    assert whole.classes.names == tuple("0123456789")
