"""What every test starts from: a private cache, no network, two threads; and where real data is found."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # one core each: threads of several processes on one core wait for each other
    os.environ["OMP_NUM_THREADS"] = "1"

import pytest
import torch

from command_line import Cli, Ended
from rank_pool import RankPool


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """New names in one folder; pytest would look through all that there are for each new number."""
    folder = tmp_path_factory.mktemp("likewise-homes")
    return (folder / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def private_home(homes: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty LIKEWISE_HOME and no network; a test that wants another sets the variables itself."""
    home = next(homes)
    home.mkdir()
    monkeypatch.setenv("LIKEWISE_HOME", str(home))
    monkeypatch.setenv("LIKEWISE_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return home


@pytest.fixture(autouse=True, scope="session")
def two_threads() -> Iterator[None]:
    """Two cores are what the library promises its times for; more would only make tests disturb each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(min(2, before))
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def two_ranks() -> Iterator[RankPool]:
    """Two processes that form a gloo group, as ``torchrun`` starts them."""
    pool = RankPool(2)
    yield pool
    pool.close()


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """``real_data("mnist")`` is the folder of that name below LIKEWISE_TEST_DATA; the test skips where it is absent."""

    def folder(name: str) -> Path:
        root = os.environ.get("LIKEWISE_TEST_DATA")
        if not root:
            pytest.skip(f"needs real data: LIKEWISE_TEST_DATA is not set (a folder that holds {name}/)")
        path = Path(root) / name
        if not path.is_dir():
            pytest.skip(f"needs real data: {path} does not exist")
        return path

    return folder


@pytest.fixture(scope="session")
def fashion_mnist() -> Path:
    """The folder of a local copy of Fashion-MNIST's idx files; the test skips where there is none."""
    places = [Path("/usr/share/datasets/fashion-mnist"), Path.home() / ".cache" / "likewise" / "fashion-mnist"]
    if os.environ.get("LIKEWISE_TEST_DATA"):
        places.insert(0, Path(os.environ["LIKEWISE_TEST_DATA"]) / "fashion-mnist")
    for place in places:
        if list(place.glob("train-images-idx3-ubyte*")):
            return place
    pytest.skip(f"needs Fashion-MNIST's idx files in one of {', '.join(map(str, places))}")


@pytest.fixture
def run_cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """``run_cli("train", recipe, …)`` is the command line called in this process."""

    def call(*arguments: object) -> Ended:
        from likewise import cli

        monkeypatch.setattr(sys, "argv", ["likewise", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return Ended(int(ended.value.code or 0), captured.out, captured.err)

    return call
