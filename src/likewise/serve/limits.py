"""What one request may ask for, and how many may wait: a server that is asked too much says so and goes on."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """Bounds of a server; what goes beyond one is refused before work is done for it.

    Args:
        upload_bytes: of a whole request, counted while it arrives (413).
        pixels: of one image, read from its header before anything is decoded (413).
        words: of one text (413).
        characters: of one text or filter (413).
        k: hits of one search (400).
        items: images and texts of one request for embeddings (413).
        names: classes of one classification (413).
        waiting: requests that are under way at a time (503).
        seconds: until a request is answered, its upload included (504).
        batch: images, texts or searches that are done together.

    Example:
        >>> Limits(k=50).k
        50
    """

    upload_bytes: int = 16 * 2**20
    pixels: int = 25_000_000
    words: int = 256
    characters: int = 4096
    k: int = 1000
    items: int = 64
    names: int = 256
    waiting: int = 128
    seconds: float = 30.0
    batch: int = 64
