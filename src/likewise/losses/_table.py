"""Every loss as one row: the tests run over these rows and the documentation's table is made from them.

To add a loss: write its function in the file of its family, add one row in ``_table_pairs.py`` or ``_table_views.py`` and
one case in tests/losses/loss_cases.py.
"""

from __future__ import annotations

import inspect
from typing import Any

from likewise.losses import _table_pairs, _table_views
from likewise.losses._row import Row

TABLE: tuple[Row, ...] = (*_table_pairs.ROWS, *_table_views.ROWS)


def markdown() -> str:
    """The table as Markdown, one section per family: the text between the marks in docs/how-to/losses.md."""
    lines: list[str] = []
    for family in dict.fromkeys(row.family for row in TABLE):
        lines += [
            f"### {family[0].upper()}{family[1:]}",
            "",
            "| loss | module and options | needs | equation | source |",
        ]
        lines.append("|---|---|---|---|---|")
        for row in (r for r in TABLE if r.family == family):
            options = ", ".join(_option(*item) for item in row.options.items() if item[0] not in _COMMON)
            equation = row.equation.replace("|", "\\|")
            module = f"`{row.module.__name__}({options})`"
            needs = f"{row.data}, or mined {row.tuples}" if row.tuples else row.data
            lines.append(f"| `{row.name}` | {module} | {needs} | {equation} | {row.source} |")
        lines.append("")
    return "\n".join(lines)


_COMMON = ("group", "memory", "tile_size", "tuples")


def _option(name: str, default: Any) -> str:
    if default is inspect.Parameter.empty:
        return name
    return f"{name}={default:.4g}" if isinstance(default, float) else f"{name}={default!r}"
