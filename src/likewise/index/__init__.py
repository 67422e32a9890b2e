"""Vectors, what is known about each image, and search, on disk; and embeddings of a whole source in one file."""

from likewise.index.embed_file import EmbeddedFile, embed_to_file
from likewise.index.embed_on_ray import embed_on_ray
from likewise.index.index import Index
from likewise.index.manifest import Approximate, Distance, Manifest
from likewise.index.opening import index_of_run, open_index
from likewise.index.queries import Query
from likewise.index.rows import Hit, Scan
from likewise.index.stream import Feed, feed_of_dataset, feed_of_source
from likewise.index.writing import Added

__all__ = [
    "Added",
    "Approximate",
    "Distance",
    "EmbeddedFile",
    "Feed",
    "Hit",
    "Index",
    "Manifest",
    "Query",
    "Scan",
    "embed_on_ray",
    "embed_to_file",
    "feed_of_dataset",
    "feed_of_source",
    "index_of_run",
    "open_index",
]
