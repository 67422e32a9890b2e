"""The conditions of a comparison: training sizes × shares of wrong labels × shares of unseen classes.

A condition is the same for all recipes, so within one their differences are theirs. Conditions are nested where they can be:
with one seed the images of a smaller size are among those of a larger one, and the wrong labels of a smaller share are
among those of a larger one. So a curve over either is a curve and not a row of draws.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from likewise.comparison.rows import Condition, TrainSize
from likewise.errors import RecipeError
from likewise.recipe import Recipe

__all__ = ["conditions_of", "given_by_conditions", "overrides_of"]

_PER_CLASS = re.compile(r"[1-9]\d*/class")


def conditions_of(
    recipe: Recipe,
    train_sizes: Sequence[TrainSize] | None,
    label_noise: Sequence[float] | None,
    unseen_classes: Sequence[float] | None,
) -> list[Condition]:
    """Every combination of what was asked; where nothing was, what the recipes say.

    Args:
        recipe: any of the comparison: in what was not asked they agree.
        train_sizes, label_noise, unseen_classes: see ``compare``.

    Raises:
        RecipeError: a size or a share that there is not, or the same one twice.
    """
    sizes: Sequence[TrainSize | None] = [None] if train_sizes is None else _checked_sizes(train_sizes)
    noises = _checked_shares("shares of wrong labels", label_noise)
    unseen = _checked_shares("shares of unseen classes", unseen_classes)
    conditions = []
    for size in sizes:
        for noise in [None] if noises is None else noises:
            for share in [None] if unseen is None else unseen:
                key = "all" if size is None else str(size).replace("/", "-per-")
                key += f"-noise-{noise:g}" if noise else ""
                key += f"-unseen-{share:g}" if share else ""
                conditions.append(
                    Condition(
                        key,
                        size,
                        recipe.data.label_noise if noise is None else float(noise),
                        recipe.data.unseen_classes if share is None else float(share) or None,
                    )
                )
    return conditions


def given_by_conditions(
    train_sizes: Sequence[TrainSize] | None,
    label_noise: Sequence[float] | None,
    unseen_classes: Sequence[float] | None,
) -> set[str]:
    """The data settings that the conditions say, so that recipes need not agree in them."""
    given = {"train_size": train_sizes, "label_noise": label_noise, "unseen_classes": unseen_classes}
    return {name for name, values in given.items() if values is not None}


def overrides_of(condition: Condition) -> dict[str, Any]:
    """What a condition sets in a recipe."""
    values = {"data.label_noise": condition.label_noise, "data.unseen_classes": condition.unseen_classes}
    return values if condition.train_size is None else values | {"data.train_size": condition.train_size}


def _checked_sizes(train_sizes: Sequence[TrainSize]) -> Sequence[TrainSize]:
    wrong = [size for size in train_sizes if not _possible(size)]
    if wrong or not train_sizes or len({str(size) for size in train_sizes}) != len(train_sizes):
        raise RecipeError(
            f"The training sizes are {', '.join(map(str, train_sizes)) or 'none'}.",
            expected="Expected different sizes: whole numbers of images from 1, shares above 0 up to 1.0, or 10/class.",
            advice="Use for example --train-sizes 10/class,100/class,1000,1.0 (1.0 is all images, 1 is a single one).",
        )
    return train_sizes


def _possible(size: TrainSize) -> bool:
    if isinstance(size, str):
        return bool(_PER_CLASS.fullmatch(size))
    return not isinstance(size, bool) and size > 0 and (isinstance(size, int) or size <= 1)


def _checked_shares(what: str, shares: Sequence[float] | None) -> Sequence[float] | None:
    if shares is not None and (
        not shares
        or not all(0 <= share < 1 for share in shares)
        or len({float(share) for share in shares}) < len(shares)
    ):
        raise RecipeError(
            f"The {what} are {', '.join(map(str, shares)) or 'none'}.",
            expected="Expected different shares from 0 to below 1.",
            advice="Use for example --label-noise 0,0.2,0.4 or --unseen-classes 0,0.5; 0 is without.",
        )
    return shares
