"""What the server answers with: the shapes that /docs shows, and rows of the index brought into them."""

from __future__ import annotations

import math
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict

from likewise.index import Hit

__all__ = ["ClassProbability", "Classified", "Embedded", "Found", "FoundImage", "as_found"]


class FoundImage(BaseModel):
    """One image that a search found; further columns of the index follow by their names.

    Attributes:
        id: of the image.
        distance: to the query; null for what only the words of a caption found.
        score: of a search by words in captions, higher is better; else null.
        label: number of the class.
        class_name: its name.
        caption: captions, one a line.
        split: of the source.
        source: name of the source, without its folder.
        item: file or row inside the source.
        thumbnail: address of a small JPEG on this server.
    """

    model_config = ConfigDict(extra="allow")

    id: str
    distance: float | None
    score: float | None
    label: int | None
    class_name: str | None
    caption: str | None
    split: str | None
    source: str
    item: str
    thumbnail: str


class Found(BaseModel):
    """Hits, best first, and the seconds that they took on the server."""

    hits: list[FoundImage]
    seconds: float


class Embedded(BaseModel):
    """Embeddings, images first, then texts, each in the order in which they were sent."""

    embeddings: list[list[float]]
    embedding_dim: int
    model: str
    seconds: float


class ClassProbability(BaseModel):
    """One class: softmax over cosine / temperature, and the cosine itself."""

    name: str
    probability: float
    similarity: float


class Classified(BaseModel):
    """All classes, the most probable first."""

    classes: list[ClassProbability]
    template: str
    temperature: float
    seconds: float


def as_found(hit: Hit) -> dict[str, Any]:
    """A hit as JSON, with nothing in it that says where on this machine the images lie.

    Example:
        >>> hit = Hit("a b", 0.5, None, 3, "boot", None, "test", "/home/me/photos", "/home/me/photos/1.png", None, {})
        >>> found = as_found(hit)
        >>> found["source"], found["item"], found["thumbnail"]
        ('photos', '1.png', '/thumbnail/a%20b')
    """
    values = hit.as_dict()
    values = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in values.items()
    }
    source, item = PurePath(hit.source), PurePath(hit.item)
    if item.is_absolute():
        values["item"] = str(item.relative_to(source)) if item.is_relative_to(source) else item.name
    if source.is_absolute():
        values["source"] = source.name
    return values | {"thumbnail": f"/thumbnail/{quote(hit.id)}"}
