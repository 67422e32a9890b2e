"""Objectives × seeds × training sizes: a grid of resumable runs, and what their numbers support."""

from likewise.comparison.compare import compare
from likewise.comparison.record import INTERVAL_WORDS, METHOD_WORDS, RAW_PIXELS, Comparison, as_dict
from likewise.comparison.rows import Cell, Search
from likewise.comparison.table import as_table, chosen_lines, write_csv

__all__ = [
    "INTERVAL_WORDS",
    "METHOD_WORDS",
    "RAW_PIXELS",
    "Cell",
    "Comparison",
    "Search",
    "as_dict",
    "as_table",
    "chosen_lines",
    "compare",
    "write_csv",
]
