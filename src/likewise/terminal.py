"""What the verbs of the command line share: where results go, as a table or as one JSON document, and options of many."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from typer.core import TyperCommand

from likewise.errors import RecipeError

__all__ = [
    "BudgetOption",
    "Device",
    "EngineOption",
    "Json",
    "OnBad",
    "Sets",
    "Source",
    "WithSettings",
    "checked_budget",
    "output",
    "print_json",
    "say_budget",
    "settings",
]

logger = logging.getLogger("likewise")

# A file or a pipe has no width: tables then take what they need. Names and paths are shown as they are: [bold] and :cat: too.
output = Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else 140)

Source = Annotated[str | None, typer.Option("--data", metavar="SOURCE", help="A name, a path or a hub id.")]
Sets = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting, such as epochs=3; repeat.")
]
BudgetOption = Annotated[
    str | None, typer.Option("--budget", help="smoke, laptop or paper; default paper with a CUDA GPU, else laptop.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
EngineOption = Annotated[str, typer.Option("--engine", help="local, or ray: a Ray cluster.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
OnBad = Annotated[str | None, typer.Option("--on-bad-image", help="stop (default) or skip unreadable images.")]


class WithSettings(TyperCommand):
    """A verb with ``--set``: one who writes a setting as an option of its own is told how."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As any verb does."""
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            # click's own class has no public name where typer brings its own copy of click
            if type(error).__name__ == "NoSuchOption":
                name = str(getattr(error, "option_name", "")).lstrip("-").replace("-", "_")
                said: Any = error
                said.message += f". Settings of the recipe go with --set, such as --set {name}=VALUE."
            raise


def settings(sets: list[str] | None, on_bad_image: str | None = None) -> dict[str, Any]:
    """What ``--set`` and ``--on-bad-image`` say, by setting.

    Raises:
        RecipeError: one of them cannot be read.
    """
    values: dict[str, Any] = {}
    for item in sets or []:
        key, equals, text = item.partition("=")
        if not equals or not key:
            raise RecipeError(f"--set {item!r} has no value.", expected="Expected KEY=VALUE, such as epochs=3.")
        try:
            values[key.strip()] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise RecipeError(f"--set {item!r} has a value that cannot be read ({error}).") from error
    if on_bad_image is not None:
        values["data.on_bad_image"] = on_bad_image
    return values


def checked_budget(value: str | None) -> Any:
    """The budget, which is one of those there are.

    Raises:
        RecipeError: it is not.
    """
    if value not in (None, "smoke", "laptop", "paper"):
        raise RecipeError(f"--budget {value} is not known.", expected="Expected smoke, laptop or paper.")
    return value


def say_budget(recipes: Sequence[str], budget: str | None) -> None:
    """Say on standard error that a GPU chooses the published setting, where nobody has chosen one."""
    from likewise.recipes import default_budget, has_budgets

    if budget is None and default_budget() == "paper" and any(map(has_budgets, recipes)):
        logger.info(
            "budget paper, because there is a GPU: the published setting, which may take hours; "
            "--budget laptop takes minutes"
        )


def print_json(value: Any) -> None:
    """Write one JSON document to standard output."""
    json.dump(value, sys.stdout, indent=2, default=str)
    sys.stdout.write("\n")
