"""A run, or a comparison of runs, as one self-contained HTML file with its pictures beside it."""

from likewise.report.comparison_report import write_comparison_report
from likewise.report.run_report import write_run_report

__all__ = ["write_comparison_report", "write_run_report"]
