"""The table of losses, and the page that is made from it."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from likewise import losses
from likewise.losses._row import Row
from likewise.losses._table import TABLE, markdown


def test_the_pages_table_has_every_loss_once() -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "losses.md").read_text()
    assert "{{ losses }}" in page
    table = markdown()
    for row in TABLE:
        assert table.count(f"| `{row.name}`") == 1
        assert ("tuples" in row.options) == bool(row.tuples)
        assert set(row.search) <= set(row.options)
    assert "labels, or mined triplets" in table


@pytest.mark.parametrize("row", TABLE, ids=lambda r: r.name)
def test_a_row_says_everything(row: Row) -> None:
    doc = inspect.getdoc(row.function) or ""
    for part in ("Args:", "Returns:", "Raises:", "Example:", ">>> "):
        assert part in doc, part
    assert (
        row.source.split(",")[0].split(";")[0].split(" 20")[0].replace("after ", "").split(" ")[0] in doc + row.equation
    )
    parameters = inspect.signature(row.function).parameters
    named = {p.name for p in parameters.values() if p.kind is inspect.Parameter.KEYWORD_ONLY}
    assert named == set(row.options)
    assert row.function.__name__ in (row.module.__doc__ or "")


def test_public_names_are_there_once() -> None:
    assert len(set(losses.__all__)) == len(losses.__all__)
    assert all(hasattr(losses, name) for name in losses.__all__)
