from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from likewise.data import cache_home, load_dataset
from likewise.data.archive import unpacked
from likewise.errors import DatasetError

from .files import write_class_folders


def write_tar(path: Path, members: dict[str, bytes], link: str = "") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        if link:
            info = tarfile.TarInfo("link")
            info.type, info.linkname = tarfile.SYMTYPE, link
            archive.addfile(info)
    return path


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def everything_in_the_cache() -> list[str]:
    return [path.name for path in cache_home().rglob("*") if path.is_file()]


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_an_archive_is_unpacked_once(tmp_path: Path, kind: str) -> None:
    write = write_tar if kind == "tar.gz" else write_zip
    archive = write(tmp_path / f"set.{kind}", {"set/a.txt": b"one", "set/deep/b.txt": b"two"})
    folder = unpacked(archive)
    assert (folder / "set" / "deep" / "b.txt").read_bytes() == b"two"
    (folder / "mark").touch()
    assert (unpacked(archive) / "mark").exists()


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
@pytest.mark.parametrize("name", ["../evil.txt", "/tmp/evil.txt", "a/../../evil.txt", "..\\evil.txt", "C:/evil.txt"])
def test_an_archive_that_writes_outside_its_folder_is_refused(tmp_path: Path, kind: str, name: str) -> None:
    write = write_tar if kind == "tar.gz" else write_zip
    archive = write(tmp_path / f"set.{kind}", {"good.txt": b"fine", name: b"bad"})
    with pytest.raises(DatasetError, match=r"would write outside its folder: .*evil\.txt"):
        unpacked(archive)
    assert everything_in_the_cache() == []
    assert not list(tmp_path.parent.rglob("evil.txt"))


def test_links_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="'link', which is a link or a device"):
        unpacked(write_tar(tmp_path / "set.tar.gz", {"good.txt": b"fine"}, link="/etc"))
    assert everything_in_the_cache() == []


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_a_cut_off_archive_leaves_nothing(tmp_path: Path, kind: str) -> None:
    write = write_tar if kind == "tar.gz" else write_zip
    content = bytes(range(256)) * 3000
    archive = write(tmp_path / f"set.{kind}", {"a.bin": content, "b.bin": content[::-1]})
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    with pytest.raises(DatasetError, match="could not be unpacked"):
        unpacked(archive)
    assert everything_in_the_cache() == []


def test_an_archive_larger_than_the_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = write_tar(tmp_path / "set.tar.gz", {"a.bin": b"0" * 1000})
    monkeypatch.setattr("likewise.data.archive.shutil.disk_usage", lambda path: type("Usage", (), {"free": 999})())
    with pytest.raises(DatasetError, match="GB free"):
        unpacked(archive)


def test_a_zip_of_class_folders_is_a_data_set(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "photos", 3)
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for file in sorted((tmp_path / "photos").rglob("*.png")):
            archive.write(file, file.relative_to(tmp_path))
    data = load_dataset(tmp_path / "photos.zip")
    assert data.class_names == ("cat", "dog")
    assert len(data) == 6
