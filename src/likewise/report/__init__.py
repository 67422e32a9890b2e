"""A run, or a comparison of runs, as one self-contained HTML file with its pictures beside it.

The names below are imported when they are first used: who only wants this room's words does not wait for matplotlib.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from likewise.report.comparison_report import write_comparison_report
    from likewise.report.run_report import write_run_report

__all__ = ["write_comparison_report", "write_run_report"]

_HOMES = {
    "write_comparison_report": "likewise.report.comparison_report",
    "write_run_report": "likewise.report.run_report",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'likewise.report' has no attribute {name!r}")
