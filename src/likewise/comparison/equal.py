"""Equal budgets: every run of a comparison trains for the same seconds, steps or images, whatever its recipe says.

Epochs are not a budget: an epoch of pairs shows twice as many images as one of single images, and a step of one objective
costs more than a step of another. Which of the three is fair depends on the question, so it is asked for and stated.
"""

from __future__ import annotations

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


def equal_overrides(equal: str, recipes: Sequence[Recipe]) -> dict[str, Any]:
    """What an equal budget sets in every recipe.

    Raises:
        RecipeError: no such budget, or a recipe trains in several stages, each of which has a length of its own.
    """
    kind, value = _read(equal)
    for recipe in recipes:
        if recipe.before:
            raise RecipeError(
                f"{recipe.name} trains in stages: {', '.join(stage.name for stage in recipe.before)} before its run.",
                expected="Expected recipes of one stage: an equal budget is that of one training.",
                advice="Leave it out, or set the length of each stage with --set before.STAGE.training.epochs=….",
            )
    return {f"training.{name}": value if name == kind else None for name in _KINDS}


def equal_words(equal: str) -> str:
    """The budget in words.

    Example:
        >>> equal_words("steps=2000")
        '2,000 training steps'
    """
    kind, value = _read(equal)
    return _WORDS[kind].format(value)
