"""The verbs embed, index and search, as a person types them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from command_line import Cli

from .conftest import write_photos


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    write_photos(tmp_path / "photos", per_class=6)
    return tmp_path / "photos"


def test_embed(run_cli: Cli, model_folder: Path, photos: Path, tmp_path: Path) -> None:
    (photos / "cat" / "6.png").write_bytes(b"not a picture")
    file = tmp_path / "photos.parquet"
    stopped = run_cli("embed", model_folder, photos, "-o", file)
    assert stopped.code == 2
    assert "cat/6.png is not a readable image" in stopped.err
    assert not file.exists()
    ended = run_cli("embed", model_folder, photos, "-o", file, "--on-bad-image", "skip", "--json")
    assert ended.code == 0, ended.err
    document = ended.json()
    assert (document["images"], document["embedding_dim"], document["path"]) == (12, 6, str(file))
    assert [item["item"] for item in document["bad_images"]] == ["photos/cat/6.png"]
    assert pq.read_metadata(file).num_rows == 12
    again = run_cli("embed", model_folder, photos, "-o", file)
    assert (again.code, again.out) == (2, "")
    assert "is there already" in again.err
    replaced = run_cli("embed", model_folder, photos, "-o", file, "--on-bad-image", "skip", "--overwrite")
    assert "12 images × 6" in replaced.out
    assert "1 bad images left out" in replaced.out


def test_index_then_search(run_cli: Cli, model_folder: Path, photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("lancedb", reason="needs the extra `index`: pip install 'likewise[index]'")
    folder = tmp_path / "index"
    made = run_cli("index", model_folder, photos, "-o", folder, "--json")
    assert made.code == 0, made.err
    assert {"images": 12, "written": 12, "kept": 0, "distance": "cosine"}.items() <= made.json().items()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(photos / "dog" / "black.png")
    assert "13 images, 1 new, 12 were there" in run_cli("index", model_folder, photos, "-o", folder).out
    found = run_cli("search", folder, "--image", photos / "dog" / "black.png", "-k", 3, "--json")
    assert found.code == 0, found.err
    hits = found.json()
    assert hits[0]["id"] == "dog/black.png"
    assert (len(hits), hits[0]["source"]) == (3, str(photos))
    shown = run_cli("search", folder, "--image", photos / "dog" / "black.png", "--filter", "class_name = 'cat'")
    assert "cat/" in shown.out
    assert "dog/" not in shown.out
    assert "caption" not in shown.out  # these images have none


def test_names_in_brackets_are_shown_as_they_are(
    run_cli: Cli, model_folder: Path, photos: Path, tmp_path: Path
) -> None:
    pytest.importorskip("lancedb", reason="needs the extra `index`: pip install 'likewise[index]'")
    odd = {"cat[bold]": "a[b]:cat:.png", "img[": "x].png"}
    for name, file in odd.items():
        (photos / name).mkdir()
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(photos / name / file)
    (photos / "img[" / "bad.png").write_bytes(b"not a picture")
    folder = tmp_path / "index [red]"
    made = run_cli("index", model_folder, photos, "-o", folder, "--on-bad-image", "skip")
    assert f"{folder}: 14 images" in made.out, made.err
    shown = run_cli("search", folder, "--image", photos / "img[" / "x].png", "-k", 2)
    assert shown.code == 0, shown.err
    assert all(f" {name}/{file} " in shown.out and f" {name} " in shown.out for name, file in odd.items())
    left = run_cli("embed", model_folder, photos, "-o", tmp_path / "a[b].parquet", "--on-bad-image", "skip")
    assert f"left out: {tmp_path / 'a[b]'}" in left.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["embed", "nowhere", "digits", "-o", "a.parquet"], "nowhere holds no model"),
        (["embed", "MODEL", "no/such/folder", "-o", "a.parquet"], "DatasetError"),
        (["embed", "MODEL", "digits", "-o", "a.parquet", "--split", "test"], "no split 'test'"),
        (["embed", "MODEL", "digits", "-o", "a.parquet", "--device", "abacus"], "'abacus' cannot be used"),
        (["embed", "MODEL", "digits", "-o", "a.parquet", "--on-bad-image", "ignore"], "on_bad_image is 'ignore'"),
        (["index", "MODEL", "digits", "-o", "a", "--distance", "far"], "Expected cosine or euclidean"),
        (["index", "MODEL", "digits", "-o", "a", "--recall", "2"], "recall is 2.0. Expected more than 0"),
        (["search", "nowhere", "--text", "shoe"], "nowhere is neither an index nor a run"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(
    run_cli: Cli,
    arguments: list[str],
    message: str,
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = run_cli(*[str(model_folder) if argument == "MODEL" else argument for argument in arguments])
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
    assert "Traceback" not in ended.err
    assert not list(tmp_path.iterdir())
