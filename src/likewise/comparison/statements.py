"""Sentences that say what the intervals support, and say so where they support nothing.

A sentence names a winner only where the 95 % interval of the paired difference excludes zero. Otherwise it gives the
interval and makes no statement: "no difference was found" would be as wrong as naming one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations

from likewise.comparison.metrics import MAIN_METRIC
from likewise.comparison.record import RAW_PIXELS, Comparison
from likewise.comparison.rows import Answer, Contender, Difference, TrainSize

__all__ = ["answer", "notes"]

_RECALLS = {"recall_at_1": 1, "recall_at_5": 5, "recall_at_10": 10}
_SIDES = {1: "above", -1: "below"}


def answer(comparison: Comparison) -> list[Answer]:
    """The course sheet's questions with what can be said to each; a question without numbers is left out."""
    groups = [
        Answer("Which objective gives the better 1-NN accuracy?", list(_better_accuracy(comparison))),
        Answer("Which objective finds unseen classes better?", list(_better_on_unseen(comparison))),
        Answer("Which objective finds the image of a caption better?", list(_better_on_captions(comparison))),
        Answer("Which objective gives the better recall@k?", list(_better_recall(comparison))),
        Answer("Whose classes does a linear classifier separate better?", list(_better_probe(comparison))),
        Answer("Does the ranking change with the number of training images?", list(_ranking(comparison))),
        Answer("Is training better than 1-NN on raw pixels?", list(_against_raw(comparison))),
    ]
    return [group for group in groups if group.statements]


def notes(comparison: Comparison, data_notes: Iterable[str]) -> list[str]:
    """What a reader of the numbers must know, most important first."""
    found = []
    failed = [cell for cell in comparison.cells if cell.status == "failed"]
    pending = [cell for cell in comparison.cells if cell.status == "pending"]
    collapsed = [cell for cell in comparison.done() if cell.metrics.get("collapsed")]
    if failed:
        found.append(f"{_count(len(failed), 'run')} of {len(comparison.cells)} failed and stand in no mean.")
    if pending:
        found.append(f"{_count(len(pending), 'run')} of {len(comparison.cells)} are not finished yet.")
    if collapsed:
        names = ", ".join(f"{cell.recipe} ({cell.size}, seed {cell.seed})" for cell in collapsed)
        found.append(f"Embeddings collapsed in {names}.")
    if comparison.searches:
        found.append(_searched(comparison))
    if len(comparison.seeds) == 1 and comparison.done():
        found.append(
            "One seed only: intervals are over test images and say nothing about how much another seed would differ."
        )
    elif len(comparison.seeds) == 2 and comparison.done():
        found.append("Two seeds: Student's t has one degree of freedom, so intervals over seeds are very wide.")
    if comparison.differences:
        found.append("Each interval is at 95 % on its own; over many comparisons one in twenty may miss.")
    return found + list(dict.fromkeys(data_notes))


def _better_accuracy(comparison: Comparison) -> Iterator[str]:
    for size in comparison.train_sizes:
        yield from _ahead(comparison, size, MAIN_METRIC, "1-NN accuracy")


def _better_on_unseen(comparison: Comparison) -> Iterator[str]:
    """MAP@R, where the test holds classes that training has not seen and no 1-NN accuracy can be taken."""
    if any(metric.name == MAIN_METRIC for metric in comparison.metrics):
        return
    for size in comparison.train_sizes:
        yield from _ahead(comparison, size, "map_at_r", "MAP@R")


def _better_on_captions(comparison: Comparison) -> Iterator[str]:
    for size in comparison.train_sizes:
        yield from _ahead(comparison, size, "text_to_image_recall_at_1", "text to image recall@1")


def _better_recall(comparison: Comparison) -> Iterator[str]:
    reached = {cell.size for cell in comparison.done()}
    for size in [size for size in comparison.train_sizes if size.size in reached][-1:]:  # the largest that is there
        for metric, k in _RECALLS.items():
            yield from _ahead(comparison, size, metric, f"recall@{k}")


def _ahead(comparison: Comparison, size: TrainSize, metric: str, words: str) -> Iterator[str]:
    """Who is ahead in a metric, pair by pair, and the pairs on which the intervals are silent."""
    silent = []
    for a, b, row in _pairs(comparison, size, metric):
        if _side(row):
            ahead, behind = (a, b) if row.mean > 0 else (b, a)
            yield f"With {size.words} {ahead.label} is ahead of {behind.label} in {words} by {_gap(row)}."
        else:
            silent.append(f"{a.label} minus {b.label}{_bounds(row)}")
    if silent:
        yield f"With {size.words} no statement on {words} where the interval overlaps zero: {_listed(silent)}."


def _better_probe(comparison: Comparison) -> Iterator[str]:
    reached = {cell.size for cell in comparison.done()}
    for size in [size for size in comparison.train_sizes if size.size in reached][-1:]:  # the largest that is there
        silent = []
        for a, b, row in _pairs(comparison, size, "linear_probe_accuracy"):
            if _side(row):
                ahead, behind = (a, b) if row.mean > 0 else (b, a)
                yield f"With {size.words} {ahead.label} is ahead of {behind.label} by linear probe by {_gap(row)}."
            else:
                silent.append(f"{a.label} minus {b.label}{_bounds(row)}")
        if silent:
            yield f"With {size.words} no statement on the linear probe where the interval overlaps zero: {_listed(silent)}."


def _ranking(comparison: Comparison) -> Iterator[str]:
    for a, b in combinations(comparison.recipes, 2) if len(comparison.train_sizes) > 1 else ():
        by_side: dict[int, list[TrainSize]] = {1: [], 0: [], -1: []}
        for size in comparison.train_sizes:
            row = comparison.difference(a.name, b.name, size.size, MAIN_METRIC)
            if row:
                by_side[_side(row)].append(size)
        first, silent, second = by_side[1], by_side[0], by_side[-1]
        if len(first) + len(silent) + len(second) < 2:
            continue
        ahead, behind = (a, b) if first else (b, a)
        if first and second:
            yield (
                f"The ranking of {a.label} and {b.label} by 1-NN accuracy changes: {a.label} is ahead with "
                f"{_images(first)}, {b.label} with {_images(second)}."
            )
        elif silent:
            known = f"; with {_images(first or second)} {ahead.label} is ahead" if first or second else ""
            yield (
                f"Whether the ranking of {a.label} and {b.label} changes cannot be said: the interval overlaps zero "
                f"with {_images(silent)}{known}."
            )
        else:
            yield (
                f"The ranking by 1-NN accuracy does not change: {ahead.label} is ahead of {behind.label} "
                f"with {_images(first or second)}."
            )


def _against_raw(comparison: Comparison) -> Iterator[str]:
    for recipe in comparison.recipes:
        said: dict[int, list[str]] = {1: [], -1: []}
        silent = []
        for size in comparison.train_sizes:
            row = comparison.difference(recipe.name, RAW_PIXELS, size.size, MAIN_METRIC)
            if row and _side(row):
                said[_side(row)].append(f"{_gap(row)} with {size.words}")
            elif row:
                silent.append(size)
        parts = [f"{word} raw pixels by {_listed(said[sign])}" for sign, word in _SIDES.items() if said[sign]]
        if parts:
            yield f"In 1-NN accuracy {recipe.label} is {', '.join(parts)}."
        if silent:
            yield (
                f"With {_images(silent)} no statement on {recipe.label} and raw pixels: the interval of the difference "
                "overlaps zero."
            )


def _pairs(comparison: Comparison, size: TrainSize, metric: str) -> Iterator[tuple[Contender, Contender, Difference]]:
    for a, b in combinations(comparison.recipes, 2):
        row = comparison.difference(a.name, b.name, size.size, metric)
        if row:
            yield a, b, row


def _side(row: Difference) -> int:
    """1 where a is ahead, -1 where b is, 0 where the interval does not say."""
    return 0 if not row.supported else 1 if row.mean > 0 else -1


def _gap(row: Difference) -> str:
    low, high = sorted((abs(row.low or 0.0), abs(row.high or 0.0)))
    return f"{_points(abs(row.mean))} (95 % interval {100 * low:.1f} to {100 * high:.1f}{_one_seed(row)})"


def _bounds(row: Difference) -> str:
    if row.low is None or row.high is None:
        return " (no interval)"
    low, high = (round(100 * bound, 1) + 0.0 for bound in (row.low, row.high))  # + 0.0 turns -0.0 into 0.0
    return f" ({low:+.1f} to {high:+.1f} points{_one_seed(row)})"


def _one_seed(row: Difference) -> str:
    return ", one seed" if row.method.endswith("one-seed") else ""


def _points(share: float) -> str:
    shown = f"{100 * share:.1f}"
    return f"{shown} point{'' if shown == '1.0' else 's'}"


def _images(sizes: list[TrainSize]) -> str:
    """``100 and 1,000 training images``."""
    if any(size.count is None for size in sizes):
        return _listed([size.words for size in sizes])
    return f"{_listed([f'{size.count:,}' for size in sizes])} training images"


def _listed(items: list[str]) -> str:
    return " and ".join([", ".join(items[:-1]), *items[-1:]]) if len(items) > 1 else "".join(items)


def _searched(comparison: Comparison) -> str:
    several = len(comparison.train_sizes) > 1
    return (
        f"Settings were chosen on validation, with {_count(comparison.trials, 'trial')} of seed "
        f"{comparison.searches[0].seed} for each recipe{' and training size' if several else ''} alike; test was not looked at."
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
