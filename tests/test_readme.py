"""What the README says, done."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """``make`` with this test's own environment in place of ``.venv``, taken as installed."""
    environment = Path(sys.prefix)
    stamps = [f"-o{environment}/{name}" for name in (".installed", ".installed-dev", "bin/python")]
    return subprocess.run(
        ["make", "--no-print-directory", *stamps, f"VENV={environment}", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_python_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, re.S)
    assert blocks
    for block in blocks:
        namespace: dict[str, object] = {}
        exec(compile(block, "README.md", "exec"), namespace)
        assert namespace["embeddings"].shape == (5, 16)  # type: ignore[attr-defined]


def test_files_that_the_readme_links_to_are_there() -> None:
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / link).exists(), link


def test_make_demo_ends_with_a_table_and_the_path_of_a_report(
    tmp_path: Path, fashion_mnist: Path, private_home: Path
) -> None:
    (private_home / "fashion-mnist").symlink_to(fashion_mnist)
    ended = make("demo", "BUDGET=smoke", f"OUT={tmp_path / 'demo'}")
    assert ended.returncode == 0, ended.stderr
    assert "Images: Fashion-MNIST" in ended.stdout
    for words in ("cross-entropy", "siamese", "contrastive", "raw pixels"):
        assert words in ended.stdout
    assert ended.stdout.splitlines()[-1] == f"report: {tmp_path / 'demo' / 'report.html'}"
    assert (tmp_path / "demo" / "report.html").stat().st_size < 3_000_000


def test_without_fashion_mnist_the_demo_says_so_and_takes_the_digits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from likewise import demo
    from likewise.errors import DatasetError

    def offline(*args: object, **kwargs: object) -> None:
        raise DatasetError("fashion-mnist cannot be had.", advice="Put train-images-idx3-ubyte.gz there.")

    monkeypatch.setattr(demo, "load_dataset", offline)
    report = demo.demo(tmp_path / "demo", budget="smoke")
    assert report.exists()
    printed = capsys.readouterr().out
    assert "Fashion-MNIST could not be had" in printed
    assert "scikit-learn's digits instead" in printed


def test_make_test_runs_the_tests() -> None:
    ended = make("test", "PYTEST_FLAGS=-q tests/test_package.py -k version")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "1 passed" in ended.stdout


def test_an_old_python_is_refused_with_what_to_do(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = -V ] && echo "Python 3.9.2" && exit 0\nexit 1\n')
    old.chmod(0o755)
    ended = subprocess.run(
        ["make", "demo", f"VENV={tmp_path / 'venv'}", f"PYTHON={old}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert "Python 3.9.2. Expected Python 3.11 or later" in ended.stderr
