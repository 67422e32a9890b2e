"""Sentences that say what the intervals support, and say so where they support nothing.

A sentence names a winner only where the 95 % interval of the paired difference excludes zero. Otherwise it gives the
interval and makes no statement: "no difference was found" would be as wrong as naming one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import combinations

from likewise.comparison.equal import equal_words
from likewise.comparison.metrics import MAIN_METRIC, UNSEEN_METRIC
from likewise.comparison.record import RAW_PIXELS, Comparison
from likewise.comparison.rows import Answer, Condition, Contender, Gap

__all__ = ["answer", "notes"]

_RECALLS = {"recall_at_1": 1, "recall_at_5": 5, "recall_at_10": 10}
_SIDES = {1: "above", -1: "below"}
_NOWHERE = Condition("")


def answer(comparison: Comparison) -> list[Answer]:
    """The course sheet's questions with what can be said to each; a question without numbers is left out."""
    groups = [
        Answer("Which objective gives the better 1-NN accuracy?", list(_better_accuracy(comparison))),
        Answer("Which objective finds unseen classes better?", list(_better_on_unseen(comparison))),
        Answer("Which objective names classes better from their names alone?", list(_better_zero_shot(comparison))),
        Answer("Which objective finds the image of a caption better?", list(_better_on_captions(comparison))),
        Answer("Which objective gives the better recall@k?", list(_better_recall(comparison))),
        Answer("Whose classes does a linear classifier separate better?", list(_better_probe(comparison))),
        Answer("Does the ranking change with the number of training images?", list(_ranking_by_size(comparison))),
        Answer("What do wrong labels cost?", list(_noise_costs(comparison))),
        Answer("Does the ranking change with wrong labels?", list(_ranking_by_noise(comparison))),
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
        names = ", ".join(f"{cell.recipe} ({cell.condition}, seed {cell.seed})" for cell in collapsed)
        found.append(f"Embeddings collapsed in {names}.")
    if comparison.equal is not None:
        found.append(f"Every run had the same budget, whatever its recipe says: {equal_words(comparison.equal)}.")
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
    for condition in comparison.conditions:
        yield from _ahead(comparison, condition, MAIN_METRIC, "1-NN accuracy")


def _better_on_unseen(comparison: Comparison) -> Iterator[str]:
    """Where the test holds classes that training has not seen, no 1-NN accuracy can be taken."""
    for condition in comparison.conditions:
        if condition.unseen_classes:
            yield from _ahead(comparison, condition, UNSEEN_METRIC, "MAP@R")
            yield from _ahead(comparison, condition, "recall_at_1", "recall@1")


def _better_zero_shot(comparison: Comparison) -> Iterator[str]:
    for condition in comparison.conditions:
        yield from _ahead(comparison, condition, "zero_shot_accuracy", "zero-shot accuracy")


def _better_on_captions(comparison: Comparison) -> Iterator[str]:
    for condition in comparison.conditions:
        yield from _ahead(comparison, condition, "text_to_image_recall_at_1", "text to image recall@1")


def _better_recall(comparison: Comparison) -> Iterator[str]:
    easiest = comparison.easiest()
    if easiest and not easiest.unseen_classes:
        for metric, k in _RECALLS.items():
            yield from _ahead(comparison, easiest, metric, f"recall@{k}")


def _better_probe(comparison: Comparison) -> Iterator[str]:
    easiest = comparison.easiest()
    if easiest:
        yield from _ahead(comparison, easiest, "linear_probe_accuracy", "the linear probe", "by")


def _ahead(comparison: Comparison, under: Condition, metric: str, words: str, how: str = "in") -> Iterator[str]:
    """Who is ahead in a metric, pair by pair, and the pairs on which the intervals are silent."""
    silent = []
    for a, b in combinations(comparison.recipes, 2):
        row = comparison.difference(a.name, b.name, under.key, metric)
        if row and _side(row):
            ahead, behind = (a, b) if row.mean > 0 else (b, a)
            yield f"With {_with(under)} {ahead.label} is ahead of {behind.label} {how} {words} by {_gap(row)}."
        elif row:
            silent.append(f"{a.label} minus {b.label}{_bounds(row)}")
    if silent:
        yield f"With {_with(under)} no statement on {words} where the interval overlaps zero: {_listed(silent)}."


def _ranking_by_size(comparison: Comparison) -> Iterator[str]:
    """With the cleanest labels and the classes that are known, as far as there are such conditions."""
    easiest = comparison.easiest()
    if easiest:
        alike = [it for it in comparison.conditions if it.difficulties == easiest.difficulties]
        yield from _ranking(comparison, alike, _images)


def _ranking_by_noise(comparison: Comparison) -> Iterator[str]:
    """At the largest training size."""
    yield from _ranking(comparison, _noisier(comparison), _noises)


def _noisier(comparison: Comparison) -> list[Condition]:
    """The easiest condition and those that differ from it in their wrong labels alone."""
    easiest = comparison.easiest()
    return [
        condition
        for condition in comparison.conditions
        if easiest and (condition.train_size, condition.unseen_classes) == (easiest.train_size, easiest.unseen_classes)
    ]


def _ranking(
    comparison: Comparison, conditions: list[Condition], words: Callable[[list[Condition]], str]
) -> Iterator[str]:
    for a, b in combinations(comparison.recipes, 2) if len(conditions) > 1 else ():
        by_side: dict[int, list[Condition]] = {1: [], 0: [], -1: []}
        for condition in conditions:
            row = comparison.difference(a.name, b.name, condition.key, MAIN_METRIC)
            if row:
                by_side[_side(row)].append(condition)
        first, silent, second = by_side[1], by_side[0], by_side[-1]
        if len(first) + len(silent) + len(second) < 2:
            continue
        ahead, behind = (a, b) if first else (b, a)
        if first and second:
            yield (
                f"The ranking of {a.label} and {b.label} by 1-NN accuracy changes: {a.label} is ahead with "
                f"{words(first)}, {b.label} with {words(second)}."
            )
        elif silent:
            known = f"; with {words(first or second)} {ahead.label} is ahead" if first or second else ""
            yield (
                f"Whether the ranking of {a.label} and {b.label} changes cannot be said: the interval overlaps zero "
                f"with {words(silent)}{known}."
            )
        else:
            yield (
                f"The ranking by 1-NN accuracy does not change: {ahead.label} is ahead of {behind.label} "
                f"with {words(first or second)}."
            )


def _noise_costs(comparison: Comparison) -> Iterator[str]:
    """At the largest training size, recipe by recipe and share by share."""
    shown = {condition.key: condition for condition in _noisier(comparison)}
    for recipe in comparison.recipes:
        silent = []
        for cost in comparison.noise_costs:
            metric = UNSEEN_METRIC if shown.get(cost.condition, _NOWHERE).unseen_classes else MAIN_METRIC
            if (cost.recipe, cost.metric) != (recipe.name, metric) or cost.condition not in shown:
                continue
            what = "MAP@R" if metric == UNSEEN_METRIC else "1-NN accuracy"
            noise, clean = shown[cost.condition].label_noise, shown[cost.clean].label_noise
            more = f"{100 * noise:g} % wrong labels instead of {f'{100 * clean:g} %' if clean else 'none'}"
            if cost.supported and cost.mean > 0:
                yield f"{more} cost {recipe.label} {_gap(cost)} of {what}."
            elif cost.supported:
                yield f"With {more} {recipe.label} gains {_gap(cost)} of {what}."
            else:
                silent.append(f"{100 * noise:g} %{_bounds(cost)}")
        if silent:
            yield f"No statement on what wrong labels cost {recipe.label} where the interval overlaps zero: {_listed(silent)}."


def _against_raw(comparison: Comparison) -> Iterator[str]:
    known = [condition for condition in comparison.conditions if not condition.unseen_classes]
    unseen = [condition for condition in comparison.conditions if condition.unseen_classes]
    for recipe in comparison.recipes:
        yield from _one_against_raw(comparison, recipe, known, MAIN_METRIC, "In 1-NN accuracy")
        yield from _one_against_raw(comparison, recipe, unseen, "recall_at_1", "In recall@1 among unseen classes")


def _one_against_raw(
    comparison: Comparison, recipe: Contender, conditions: list[Condition], metric: str, words: str
) -> Iterator[str]:
    said: dict[int, list[str]] = {1: [], -1: []}
    silent = []
    for condition in conditions:
        row = comparison.difference(recipe.name, RAW_PIXELS, condition.key, metric)
        if row and _side(row):
            said[_side(row)].append(f"{_gap(row)} with {_with(condition)}")
        elif row:
            silent.append(condition)
    parts = [f"{word} raw pixels by {_listed(said[sign])}" for sign, word in _SIDES.items() if said[sign]]
    if parts:
        yield f"{words} {recipe.label} is {', '.join(parts)}."
    if silent:
        yield (
            f"With {_images(silent)} no statement on {recipe.label} and raw pixels: the interval of the difference "
            "overlaps zero."
        )


def _side(row: Gap) -> int:
    """1 where a is ahead, -1 where b is, 0 where the interval does not say."""
    return 0 if not row.supported else 1 if row.mean > 0 else -1


def _gap(row: Gap) -> str:
    low, high = sorted((abs(row.low or 0.0), abs(row.high or 0.0)))
    return f"{_points(abs(row.mean))} (95 % interval {100 * low:.1f} to {100 * high:.1f}{_one_seed(row)})"


def _bounds(row: Gap) -> str:
    if row.low is None or row.high is None:
        return " (no interval)"
    low, high = (round(100 * bound, 1) + 0.0 for bound in (row.low, row.high))  # + 0.0 turns -0.0 into 0.0
    return f" ({low:+.1f} to {high:+.1f} points{_one_seed(row)})"


def _one_seed(row: Gap) -> str:
    return ", one seed" if row.method.endswith("one-seed") else ""


def _points(share: float) -> str:
    shown = f"{100 * share:.1f}"
    return f"{shown} point{'' if shown == '1.0' else 's'}"


def _with(condition: Condition) -> str:
    """``1,000 training images and 20 % wrong labels``."""
    return _listed([condition.images, *condition.difficulties])


def _images(conditions: list[Condition]) -> str:
    """``100 and 1,000 training images``; one by one where they differ in more."""
    if any(condition.count is None or condition.difficulties for condition in conditions):
        return _listed([condition.words for condition in conditions])
    return f"{_listed([f'{condition.count:,}' for condition in conditions])} training images"


def _noises(conditions: list[Condition]) -> str:
    """``0 % and 20 % wrong labels``."""
    return f"{_listed([f'{100 * condition.label_noise:g} %' for condition in conditions])} wrong labels"


def _listed(items: list[str]) -> str:
    return " and ".join([", ".join(items[:-1]), *items[-1:]]) if len(items) > 1 else "".join(items)


def _searched(comparison: Comparison) -> str:
    each = "for each recipe"
    if len(comparison.conditions) > 1:
        difficult = any(condition.difficulties for condition in comparison.conditions)
        each += " under each condition" if difficult else " and training size"
    return (
        f"Settings were chosen on validation, with {_count(comparison.trials, 'trial')} of seed "
        f"{comparison.searches[0].seed} {each} alike; test was not looked at."
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
