"""Equal budgets: every run of a comparison trains for the same seconds, steps or images, whatever its recipe says.

Epochs are not a budget: an epoch of pairs shows twice as many images as one of single images, and a step of one objective
costs more than a step of another. Which of the three is fair depends on the question, so it is asked for and stated.

A recipe in stages shares the budget among them as it shares its own work, which it gives in epochs. A stage that has a length
of its own in the same unit keeps it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from likewise.errors import RecipeError
from likewise.recipe import Recipe

__all__ = ["equal_overrides", "equal_words"]

_KINDS = {"seconds": float, "steps": int, "images": int}
_WORDS = {
    "seconds": "{:,g} seconds of training",
    "steps": "{:,} training steps",
    "images": "{:,} training images passed, to a whole batch",
}


def _read(equal: str) -> tuple[str, float]:
    kind, _, text = equal.partition("=")
    try:
        value = _KINDS[kind.strip()](text.strip())
    except (KeyError, ValueError):
        value = 0
    if not 0 < value < float("inf"):
        raise RecipeError(
            f"The equal budget is {equal!r}.",
            expected="Expected seconds, steps or images, = and a number above 0.",
            advice="Use for example --equal seconds=60, --equal steps=2000 or --equal images=500000.",
        )
    return kind.strip(), value


def equal_overrides(equal: str, recipe: Recipe) -> dict[str, Any]:
    """What an equal budget sets in a recipe and in the stages before it; together they have the whole budget.

    Raises:
        RecipeError: no such budget, it is too small for the stages, or one of them has a length in another unit.

    Example:
        >>> pretrain = {"name": "pretrain", "set": {"objective": "siamese", "training.epochs": 6}}
        >>> plan = {"name": "mine", "data": {"source": "digits"}, "objective": "cross_entropy", "before": [pretrain]}
        >>> share = equal_overrides("steps=1000", Recipe.parse(plan | {"training": {"epochs": 2}}))
        >>> share["before.pretrain.training.steps"], share["training.steps"]
        (750, 250)
    """
    kind, value = _read(equal)
    stages = [recipe.stage(index) for index in range(len(recipe.before))]
    keys = [*(f"before.{stage.name}.training.{kind}" for stage in recipe.before), f"training.{kind}"]
    own = [_own_length(stage, kind) for stage in stages] + [0]
    work = [0.0 if length else _work(part, kind) for length, part in zip(own, [*stages, recipe], strict=True)]
    shares = _divided(value - sum(own), work, whole=kind != "seconds")
    if any(share <= 0 for share, has in zip(shares, work, strict=True) if has):
        raise RecipeError(
            f"The equal budget is {equal}, and {recipe.name} has {len(keys)} stages to share it.",
            expected="Expected some of it for each.",
            advice="Give more, or a stage less of its own.",
        )
    given = {key: share for key, share, has in zip(keys, shares, work, strict=True) if has}
    return {f"training.{name}": None for name in _KINDS} | given


def _own_length(stage: Recipe, kind: str) -> float:
    """The length in the unit of the budget that a stage says it has; 0 where it has epochs."""
    lengths = {name: getattr(stage.training, name) for name in _KINDS}
    other = next((name for name, length in lengths.items() if length is not None and name != kind), None)
    if other is not None:
        raise RecipeError(
            f"{stage.name} is a stage of {lengths[other]:,g} {other}, and the equal budget is in {kind}.",
            expected="Expected stages with epochs, or with a length in the same unit.",
            advice=f"Leave the {other} out, or give the budget in {other}.",
        )
    return lengths[kind] or 0


def _work(part: Recipe, kind: str) -> float:
    """What a stage does by its epochs, in a unit that all stages of its recipe have in common."""
    options = part.training
    if kind == "steps":
        return options.epochs / options.batch_size
    images = options.epochs * (2 if part.objective.draws_pairs else 1)
    # Features of a frozen encoder are computed once and outside the clock: measured, an epoch of them then passes a hundred
    # times as fast on a CPU; a GPU has less to gain. (metrics.jsonl of cifar10-resnet50-npairs and of its stage.)
    kept = kind == "seconds" and options.freeze in ("encoder", "both") and not (options.shift or options.image_blocks)
    return images / 20 if kept else images


def _divided(total: float, work: Sequence[float], *, whole: bool) -> list[float]:
    """The total in parts that are to each other as the work is, in whole numbers where asked; they add up to it."""
    digits = None if whole else 3
    ends = [round(total * done / (sum(work) or 1.0), digits) for done in itertools.accumulate(work)]
    return [round(end - start, digits) for start, end in itertools.pairwise([0, *ends])]


def equal_words(equal: str) -> str:
    """The budget in words.

    Example:
        >>> equal_words("steps=2000")
        '2,000 training steps'
    """
    kind, value = _read(equal)
    return _WORDS[kind].format(value)
