"""A data set from a Debian (or Ubuntu) package, without root and without installing it.

``apt-get download`` needs no rights to fetch a package, and ``dpkg-deb -x`` none to unpack it. A machine with empty
package lists (a container image, usually) gets private ones: ``apt-get update`` into a folder of ours, which costs
about 10 MB and some seconds. apt checks the archive's signature and the package's checksum.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

from likewise.data.cache import cache_home, make_folder, offline
from likewise.data.progress import Progress

__all__ = ["DebianError", "fetch_package"]

_CONNECT = ["-o", "Acquire::http::Timeout=20", "-o", "Acquire::https::Timeout=20", "-o", "Acquire::Retries=1"]
_UPDATE_SECONDS = 300
_DOWNLOAD_SECONDS = 900
_STATUS = re.compile(r"dlstatus:\d+:([\d.]+):")


class DebianError(Exception):
    """Why the package could not be had."""


def fetch_package(package: str, into: Path) -> str:
    """Fetch a package and unpack its files below ``into``.

    Args:
        package: its name.
        into: an existing folder.

    Returns:
        The package's version.

    Raises:
        DebianError: no apt here, no network, or no such package.
    """
    apt, dpkg = shutil.which("apt-get"), shutil.which("dpkg-deb")
    if apt is None or dpkg is None:
        raise DebianError("apt-get is not on this machine")
    if offline():
        raise DebianError("LIKEWISE_OFFLINE is set")
    with tempfile.TemporaryDirectory(dir=make_folder(cache_home()), prefix=".apt-") as scratch:
        folder = Path(scratch)
        for name in ("lists/partial", "cache/archives/partial"):
            (folder / name).mkdir(parents=True)
        options = ["-o", f"Dir::Cache={folder / 'cache'}", *_CONNECT]
        try:
            found = _download(apt, options, package, folder)
        except DebianError:
            options += ["-o", f"Dir::State::Lists={folder / 'lists'}"]
            # An update fails when one of many archives does; what counts is whether the package is known then.
            with contextlib.suppress(DebianError):
                _run([apt, *options, "update"], folder, _UPDATE_SECONDS)
            found = _download(apt, options, package, folder)
        _run([dpkg, "-x", str(found), str(into)], folder, _DOWNLOAD_SECONDS)
        return found.name.split("_")[1].replace("%3a", ":")


def _download(apt: str, options: list[str], package: str, folder: Path) -> Path:
    """The package file that ``apt-get download`` puts into ``folder``."""
    _run([apt, *options, "-o", "APT::Status-Fd=1", "download", package], folder, _DOWNLOAD_SECONDS, package)
    found = next(folder.glob(f"{package}_*.deb"), None)
    if found is None:
        raise DebianError(f"apt-get download left no file of {package}")
    return found


def _run(command: list[str], folder: Path, seconds: int, package: str = "") -> None:
    """Run to the end or for ``seconds``; with ``package``, show the progress that apt reports on its output."""
    # As root apt would hand the download to the user _apt, who may not write into a private folder.
    if os.geteuid() == 0 and Path(command[0]).name == "apt-get":
        command = [command[0], "-o", "APT::Sandbox::User=root", *command[1:]]
    said: list[str] = []
    try:
        with (
            Progress(f"Fetching Debian package {package}", 100 if package else 0) as progress,
            subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            ) as process,
        ):
            stop = threading.Timer(seconds, process.kill)
            stop.start()
            for line in process.stdout or ():
                percent = _STATUS.match(line)
                if percent:
                    progress.reach(round(float(percent[1])))
                elif line.strip():
                    said.append(line.strip())
            stop.cancel()
    except OSError as error:
        raise DebianError(f"{Path(command[0]).name}: {error}") from error
    if process.returncode:
        raise DebianError(f"{Path(command[0]).name}: {said[-1] if said else 'ended without a message'}")
