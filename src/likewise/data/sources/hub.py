"""Any image data set of the Hugging Face hub, through ``datasets``, and any folder that ``datasets`` can load.

``datasets`` downloads (with its own progress and resume) and keeps an Arrow file in ``LIKEWISE_HOME/hub``, which is
memory-mapped: the encoded images are read from there and decoded by our own rules, so that the same picture gives the
same pixels whichever way it came. "owner/name:configuration" picks a configuration.
"""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from likewise.data.cache import cache_home, offline
from likewise.data.source import RawSplit, SourceOptions, canonical_split, in_order, missing_split
from likewise.data.sources.columns import class_names_of, read_columns
from likewise.errors import DatasetError

__all__ = ["HubSource", "unreachable"]


@dataclass(frozen=True)
class HubSource:
    """A data set on the hub.

    Args:
        given: "owner/name" or "owner/name:configuration".
        options: how to read.
    """

    given: str
    options: SourceOptions

    @property
    def name(self) -> str:
        """The id, as given."""
        return self.given

    @cached_property
    def _parts(self) -> dict[str, Any]:
        """Canonical split → ``datasets.Dataset``; the whole set, which ``datasets`` prepares at once anyway."""
        path, _, configuration = self.given.partition(":")
        cached = cache_home() / "hub" / path.replace("/", "___")
        reason = None if Path(path).exists() or cached.exists() else unreachable()
        if reason:
            raise self._error(reason)
        import datasets

        try:
            loaded = datasets.load_dataset(path, configuration or None, cache_dir=str(cache_home() / "hub"))
        except Exception as error:  # datasets and its transport raise dozens of kinds; the person needs id and reason
            raise self._error(f"{type(error).__name__}: {_first_line(error)}") from error
        return {canonical_split(split): part for split, part in loaded.items()}

    def _error(self, reason: str) -> DatasetError:
        return DatasetError(
            f"{self.given} could not be had from the Hugging Face hub ({reason}).",
            expected="Expected the id of a data set there, and a network, or a local path.",
            advice="Check the id and the connection; a file or folder is given by its path.",
        )

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits of the configuration."""
        return in_order(list(self._parts))

    def read(self, split: str) -> RawSplit:
        """One split, with the images still encoded."""
        if split not in self.splits:
            raise missing_split(self, split)
        tables = {name: _table(part) for name, part in self._parts.items()}
        return read_columns(
            tables[split],
            split=split,
            names=class_names_of(tables, self.options, self.given),
            options=self.options,
            root=None,
            file=self.given,
            origin=f"Hugging Face hub {self.given}",
        )


def _table(part: Any) -> pa.Table:
    table: pa.Table = part.with_format("arrow")[:] if part._indices is not None else part.data.table
    return table.replace_schema_metadata(part.features.arrow_schema.metadata)


def unreachable() -> str | None:
    """Why the hub cannot be reached, found in one attempt: ``datasets`` would try for 24 s before it says so."""
    if offline():
        return "LIKEWISE_OFFLINE or HF_HUB_OFFLINE is set"
    address = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=10).close()
    except urllib.error.HTTPError as error:  # an answer, if not a friendly one
        error.close()
    except (OSError, ValueError) as error:
        return f"{address} does not answer: {_first_line(error)}"
    return None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0]
