"""Objectives × seeds × training sizes: a grid of resumable runs, and what their numbers support."""

from likewise.comparison.compare import compare
from likewise.comparison.record import INTERVAL_WORDS, METHOD_WORDS, RAW_PIXELS, Cell, Comparison, as_dict
from likewise.comparison.table import as_table, write_csv

__all__ = [
    "INTERVAL_WORDS",
    "METHOD_WORDS",
    "RAW_PIXELS",
    "Cell",
    "Comparison",
    "as_dict",
    "as_table",
    "compare",
    "write_csv",
]
