"""``index.json``: which model an index is of, how it measures distance, and how well its approximate search finds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from likewise.errors import SearchIndexError
from likewise.index._lance import Distance
from likewise.models import EmbeddingModel, InputSpec
from likewise.models.identity import model_id
from likewise.training.files import write_json

__all__ = ["RECALL", "Approximate", "Distance", "Manifest", "ManifestFile"]

FILE = "index.json"
FORMAT = 1
RECALL = 0.98  # recall@10 that is asked for where nobody says another


class Approximate(BaseModel):
    """How the approximate index was built and what was measured on it.

    Attributes:
        rows: of the table when it was built.
        partitions: of the inverted file.
        probes: partitions that a search looks into, the fewest that reached the recall asked for.
        recall: share of the true 10 nearest that it found, over ``sample`` rows as queries.
        sample: number of those rows.
        asked: recall that was asked for, and is when it is built again by itself.
        held: where its partitions are: in ``memory``, over the embeddings there, or on ``disk``, as LanceDB's index.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    partitions: int
    probes: int
    recall: float
    sample: int
    asked: float = RECALL
    held: Literal["memory", "disk"] = "disk"


class Manifest(BaseModel):
    """What an index remembers beside its rows.

    Attributes:
        format: of this file.
        model: its ``model_id``.
        input: what images the model takes, with its normalisation.
        embedding_dim: D.
        distance: ``cosine`` or ``euclidean``.
        columns: further columns by name: ``int``, ``float``, ``str`` or ``bool``.
        approximate: of the approximate index, where there is one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    model: str
    input: InputSpec
    embedding_dim: int
    distance: Distance
    columns: dict[str, str]
    approximate: Approximate | None = None

    def require(self, model: EmbeddingModel, folder: Path) -> None:
        """Raise SearchIndexError unless ``model`` is the one that the index in ``folder`` is of."""
        if model_id(model) != self.model:
            raise SearchIndexError(
                f"The index {folder} is of the model {self.model}, and the one given is {model_id(model)}.",
                expected="Distances mean something between embeddings of one model only.",
                advice="Leave the model out to search with the copy in the index, or make a new index with this one.",
            )

    def write(self, folder: Path) -> None:
        """Replace ``index.json`` in one step."""
        write_json(folder / FILE, self.model_dump())

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read ``index.json``.

        Raises:
            SearchIndexError: there is none, or it is damaged or of a later version.
        """
        path = folder / FILE
        if not path.is_file():
            raise SearchIndexError(
                f"{folder} is not an index.",
                expected="Expected index.json in it.",
                advice="Make one with `likewise index RUN SOURCE -o DIR`.",
            )
        try:
            return cls.model_validate(json.loads(path.read_text("utf-8")))
        except (OSError, ValueError, ValidationError) as error:
            raise SearchIndexError(
                f"{path} cannot be read ({str(error).splitlines()[0]}).",
                expected=f"Expected what this version writes (format {FORMAT}).",
                advice="Update Likewise, or copy the index again.",
            ) from error


class ManifestFile:
    """``index.json`` of an index that is open, and that another process may build anew.

    Args:
        folder: of the index.
        manifest: as it was read.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._folder = folder
        self._manifest = manifest
        self._seen: tuple[int, int] | None = None

    def now(self) -> Manifest:
        """With the approximate index as it was left last; one look at the file tells whether it has been replaced."""
        try:
            found = (self._folder / FILE).stat()
            seen = found.st_mtime_ns, found.st_ino
            if seen != self._seen:
                approximate = Manifest.read(self._folder).approximate
                if approximate != self._manifest.approximate:
                    self._manifest = self._manifest.model_copy(update={"approximate": approximate})
                self._seen = seen
        except (OSError, SearchIndexError):
            pass  # what was known stands; that the index is damaged or gone is said when its rows are read
        return self._manifest
