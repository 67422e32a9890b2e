from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from likewise.data import cache_home, load_dataset
from likewise.data.cache import replace_when_complete
from likewise.errors import DatasetError

from .files import encoded, photograph, write_class_folders, write_idx


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"on_bad_image": "ignore"}, "on_bad_image is 'ignore'"),
        ({"image_size": 0}, "image_size is 0"),
        ({"image_size": 100_000}, "1 to 4096"),
        ({"channels": 2}, "channels is 2"),
        ({"memory_limit": -1}, "memory_limit is -1"),
    ],
)
def test_impossible_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        load_dataset("digits", **arguments)  # type: ignore[arg-type]


def test_arrays_are_resized_and_coloured(tmp_path: Path) -> None:
    write_idx(tmp_path, count=12)
    whole = load_dataset(tmp_path)
    half = load_dataset(tmp_path, image_size=4)
    assert half.image_shape == (1, 4, 4)
    boxes = whole.images[:].float().view(12, 1, 4, 2, 4, 2).mean((3, 5))
    assert float((half.images[:].float() - boxes).abs().mean()) < 20
    assert half.fingerprint != whole.fingerprint
    colour = load_dataset(tmp_path, channels=3)
    assert torch.equal(colour.images[:], whole.images[:].expand(-1, 3, -1, -1))


def cached() -> list[Path]:
    return sorted((cache_home() / "decoded").glob("*.npy"))


def test_the_decoded_set_is_kept_and_used(tmp_path: Path) -> None:
    write_class_folders(tmp_path, 3)
    first = load_dataset(tmp_path)
    (file,) = cached()
    pixels = np.load(file)
    assert np.array_equal(pixels, first.images[:].numpy())
    np.save(file, 255 - pixels)  # proves that the second load reads the file instead of decoding again
    assert np.array_equal(load_dataset(tmp_path).images[:].numpy(), 255 - pixels)


def test_the_cache_follows_content_and_settings(tmp_path: Path) -> None:
    write_class_folders(tmp_path, 3)
    first = load_dataset(tmp_path)
    assert load_dataset(tmp_path, image_size=4).image_shape == (3, 4, 4)
    assert len(cached()) == 2
    before = (tmp_path / "cat" / "0.png").stat()
    (tmp_path / "cat" / "0.png").write_bytes((tmp_path / "dog" / "0.png").read_bytes())
    os.utime(tmp_path / "cat" / "0.png", ns=(before.st_atime_ns, before.st_mtime_ns))
    second = load_dataset(tmp_path)
    assert torch.equal(second.images[0], second.images[3])
    assert second.fingerprint != first.fingerprint


def test_the_fingerprint_covers_labels(tmp_path: Path) -> None:
    write_class_folders(tmp_path, 3)
    first = load_dataset(tmp_path)
    (tmp_path / "cat").rename(tmp_path / "bird")
    assert load_dataset(tmp_path).fingerprint != first.fingerprint


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"something else entirely"])
def test_a_damaged_cache_is_decoded_again(tmp_path: Path, damage: bytes) -> None:
    write_class_folders(tmp_path, 3)
    first = load_dataset(tmp_path)
    cached()[0].write_bytes(damage)
    assert torch.equal(load_dataset(tmp_path).images[:], first.images[:])


def test_a_cut_off_cache_is_decoded_again(tmp_path: Path) -> None:
    write_class_folders(tmp_path, 3)
    first = load_dataset(tmp_path)
    whole = cached()[0].read_bytes()
    cached()[0].write_bytes(whole[:-50])
    assert torch.equal(load_dataset(tmp_path).images[:], first.images[:])


def test_a_cache_that_cannot_be_written_costs_only_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("LIKEWISE_HOME", str(tmp_path / "file" / "below"))
    write_class_folders(tmp_path / "photos", 3)
    assert len(load_dataset(tmp_path / "photos")) == 6
    assert "The decoded images could not be kept" in caplog.text
    with pytest.raises(DatasetError, match=r"cannot be written .*set LIKEWISE_HOME"):
        replace_when_complete(cache_home() / "x").__enter__()


def test_all_bad_is_an_error_even_when_skipping(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.jpg").write_bytes(b"")
    with pytest.raises(DatasetError, match="1 of 1 files"):
        load_dataset(tmp_path, on_bad_image="skip")
    (tmp_path / "cat" / "1.jpg").write_bytes(encoded(photograph(300, 300), "jpeg")[:2000])
    with pytest.raises(DatasetError, match="1 of 1 files"):
        load_dataset(tmp_path, on_bad_image="skip")


def test_nothing_is_left_half_written(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file"

    def interrupted() -> None:
        with replace_when_complete(target) as beside:
            beside.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list((tmp_path / "deep").iterdir()) == []
    with replace_when_complete(target) as beside:
        beside.write_text("whole")
    assert target.read_text() == "whole"


def test_home_defaults_to_the_users_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIKEWISE_HOME")
    assert cache_home() == Path.home() / ".cache" / "likewise"
