"""Filters of strangers: what the grammar takes is what SQL means by it, and it takes nothing else."""

from __future__ import annotations

import random

import pytest

import likewise as lw
from likewise.errors import ServeError
from likewise.serve.filters import DEPTH, checked_filter

FURTHER = {"price": "float", "shop": "str", "Sold": "bool"}


@pytest.mark.parametrize(
    ("written", "rows"),
    [
        ("label = 3", lambda row: row["label"] == 3),
        ("label<>3 and NOT (label > 5)", lambda row: row["label"] != 3 and row["label"] <= 5),
        ("label IN (1, 2) OR label BETWEEN 7 AND 8", lambda row: row["label"] in (1, 2, 7, 8)),
        ("label not in (1,2) and label not between 3 and 9", lambda row: row["label"] == 0),
        ("shop = 'south''s' AND price >= 1.5e1", lambda row: row["shop"] == "south's" and row["price"] >= 15),
        ("class_name LIKE '%7'", lambda row: row["label"] == 7),
        ("caption not like '%digit 7'", lambda row: row["label"] != 7),
        ("price > label", lambda row: row["price"] > row["label"]),
        ("Sold", lambda row: row["Sold"] is True),
        ("`Sold` = false", lambda row: row["Sold"] is False),
        ("Sold IS NULL", lambda row: row["Sold"] is None),
        ("Sold is not null", lambda row: row["Sold"] is not None),
        ("id = 'a\\' OR id <> 'b'", lambda row: row["id"] != "b"),
        ("id = 'a\0b'", lambda row: False),
        ("price < -1 OR price > +110", lambda row: row["price"] > 110),
    ],
)
def test_a_filter_means_what_it_says(index: lw.Index, written: str, rows: object) -> None:
    everything = index.lookup(known_ids(index), ["label", "shop", "price", "Sold"])
    expected = [row["id"] for row in everything if row is not None and rows(row)]  # type: ignore[operator]
    assert index.count(checked_filter(written, FURTHER)) == len(expected)


def known_ids(index: lw.Index) -> list[str]:
    return [hit.id for hit in index.search(embedding=[1.0] * 6, k=1000)]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("label = 3; DROP TABLE items", "';' at position 9"),
        ("label = 3 -- all of it", "'-' at position 10"),
        ("label = 3 /* all */", "'/' at position 10"),
        ("1 = 1", "'1' at position 0"),
        ("label = 3 OR 1 = 1", "'1' at position 13"),
        ("id IN (SELECT id FROM items)", "'SELECT' at position 7"),
        ("EXISTS (SELECT 1)", "'EXISTS' at position 0"),
        ("lower(class_name) = 'boot'", "'lower' at position 0"),
        ("class_name = lower('BOOT')", "'lower' at position 13"),
        ("read_csv('/etc/passwd') = 'x'", "'read_csv' at position 0"),
        ("source LIKE '/home/%'", "'source' at position 0"),
        ("item = 'x'", "'item' at position 0"),
        ("embedding IS NOT NULL", "'embedding' at position 0"),
        ("_rowid > 3", "'_rowid' at position 0"),
        ("label = 'three'", "Expected a number there"),
        ("class_name = 3", "Expected a text in single quotes there"),
        ('class_name = "boot"', "'\"' at position 13"),
        ("Sold = 1", "Expected TRUE or FALSE there"),
        ("label LIKE '3'", "'LIKE' at position 6"),
        ("label = shop", "Expected a column of the type int"),
        ("label", "ends at position 5"),
        ("label =", "ends at position 7"),
        ("label = 3 AND", "ends at position 13"),
        ("(label = 3", "ends at position 10"),
        ("label = 3)", "')' at position 9"),
        ("label IN ()", "')' at position 10"),
        ("label BETWEEN 3", "ends at position 15"),
        ("label = 3 label = 4", "'label' at position 10"),
        ("label = ٣", "'٣' at position 8"),
        ("'unfinished", '"\'" at position 0'),
        ("NOT NOT Sold", "'NOT' at position 4"),
        ("(" * 10_000 + "Sold" + ")" * 10_000, "inside each other"),
    ],
)
def test_anything_else_is_refused_by_its_position(written: str, said: str) -> None:
    with pytest.raises(ServeError) as refused:
        checked_filter(written, FURTHER)
    assert said in str(refused.value)
    assert refused.value.status == 400


def test_what_is_let_through_the_table_takes(index: lw.Index) -> None:
    """Words of the grammar in random order: refused here, or understood by the table; never an error behind the check."""
    words = [
        "label",
        "shop",
        "Sold",
        "price",
        "=",
        "<>",
        "<=",
        "(",
        ")",
        ",",
        "AND",
        "OR",
        "NOT",
        "IN",
        "LIKE",
        "IS",
        "NULL",
        "BETWEEN",
        "3",
        "-1.5",
        "'a'",
        "TRUE",
        "`id`",
    ]
    generator = random.Random(0)
    passed = 0
    for _ in range(20_000):
        text = " ".join(generator.choices(words, k=generator.randint(1, 7)))
        try:
            written = checked_filter(text, FURTHER)
        except ServeError:
            continue
        passed += 1
        if passed <= 150:
            assert 0 <= index.count(written) <= len(index), text
    assert passed > 50


def test_the_longest_filter_that_is_taken_is_answered(index: lw.Index) -> None:
    from likewise.serve import Limits

    most = Limits().characters
    many = " OR ".join(["Sold"] * (most // 8))
    nested = "NOT (" * DEPTH + many[: most - 6 * DEPTH].rpartition(" OR ")[0] + ")" * DEPTH
    for text in (many, nested):
        assert 0 < index.count(checked_filter(text, FURTHER)) < len(index)
