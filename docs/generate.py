"""MkDocs hook: pages that say what the code says are made from the code.

``{{ command-line }}`` becomes the help of every verb, ``{{ recipes }}`` the table of shipped recipes,
``{{ settings }}`` the settings of a recipe with their defaults, ``{{ losses }}`` the table of losses,
``{{ label-losses }}``, ``{{ miners }}`` and ``{{ samplers }}`` what the objective ``metric`` takes.
"""

from __future__ import annotations

import re
from typing import Any

import typer


def _command_line() -> str:
    from likewise.cli import app

    group: Any = typer.main.get_command(app)
    parts = []
    for name, command in group.commands.items():
        context = typer.Context(command, info_name=f"likewise {name}")
        parts.append(f"## `likewise {name}`\n\n```text\n{command.get_help(context)}\n```")
    return "\n\n".join(parts)


def _recipes() -> str:
    from likewise.recipes import comparison_names, comparison_title, load_recipe, load_recipes, recipe_names

    rows = ["| recipe | what it trains | `laptop` | `paper` |", "| --- | --- | --- | --- |"]
    for name in recipe_names():
        laptop, paper = (load_recipe(name, budget=budget) for budget in ("laptop", "paper"))

        def short(recipe: Any) -> str:
            training = recipe.training
            return f"`{recipe.encoder.name}`, {training.epochs} epochs of batches of {training.batch_size}"

        rows.append(f"| `{name}` | {laptop.title} | {short(laptop)} | {short(paper)} |")
    rows += ["", "| comparison | what it compares | recipes |", "| --- | --- | --- |"]
    for name in comparison_names():
        members = ", ".join(f"`{recipe.name}`" for recipe in load_recipes([name], budget="laptop"))
        rows.append(f"| `{name}` | {comparison_title(name)} | {members} |")
    return "\n".join(rows)


def _settings() -> str:
    from likewise.recipe import DataOptions, EvaluationOptions, Recipe, TrainingOptions
    from likewise.recipes._shipped import SMOKE_POINTS

    parts = []
    sections = (("", Recipe), ("data", DataOptions), ("training", TrainingOptions), ("evaluation", EvaluationOptions))
    for section, options in sections:
        meaning = dict(re.findall(r"^    (?:    )?(\w+): (.+(?:\n            .+)*)", options.__doc__ or "", re.M))
        rows = ["| setting | default | what it is |", "| --- | --- | --- |"]
        for name, field in options.model_fields.items():
            if section == "" and name in ("data", "training", "evaluation"):
                continue
            given = None if field.is_required() else field.get_default(call_default_factory=True)
            shown = getattr(given, "name", given)
            default = "required" if field.is_required() else "empty" if shown in ("", ()) else f"`{shown}`"
            if name == "projection_points":
                default += f"; `{SMOKE_POINTS}` at `smoke`"
            text = " ".join(meaning.get(name, "").split()).replace("``", "`").replace("|", "\\|")
            rows.append(f"| `{section + '.' if section else ''}{name}` | {default} | {text} |")
        parts.append("\n".join(rows))
    return "\n\n".join(parts)


def _losses() -> str:
    from likewise.losses._table import markdown

    return markdown()


def _label_losses() -> str:
    from likewise.objectives import LossChoice, label_losses

    rows = ["| `objective.loss` | options | `--trials` looks in |", "| --- | --- | --- |"]
    for name, row in sorted(label_losses().items()):
        options = LossChoice(name=name).model_dump(exclude={"name", "tile_size"})
        shown = ", ".join(
            f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in options.items()
        )
        searched = ", ".join(f"{key} {found.low:g} to {found.high:g}" for key, found in row.search.items())
        rows.append(f"| `{name}` | {shown} | {searched} |")
    return "\n".join(rows)


def _miners() -> str:
    from likewise.losses import MINERS
    from likewise.objectives import MinerChoice, label_losses

    rows = ["| `objective.miner` | gives | for the losses | options | source |", "| --- | --- | --- | --- | --- |"]
    for miner in MINERS:
        fitting = [f"`{name}`" for name, row in sorted(label_losses().items()) if row.tuples in ("pairs", miner.gives)]
        options = MinerChoice(name=miner.name).model_dump(exclude={"name"})
        shown = ", ".join(f"{key} {value}" for key, value in options.items())
        rows.append(f"| `{miner.name}` | {miner.gives} | {', '.join(fitting)} | {shown} | {miner.source} |")
    return "\n".join(rows)


def _samplers() -> str:
    from likewise.objectives import SamplerOptions

    rows = ["| `objective.sampler` | a batch | options |", "| --- | --- | --- |"]
    for name, options in SamplerOptions.known.items():
        batch = (options.__doc__ or "").splitlines()[0]
        fields = {key: field for key, field in options.model_fields.items() if key != "name"}
        shown = ", ".join(
            f"{key} (required)" if field.is_required() else f"{key} {field.default}" for key, field in fields.items()
        )
        rows.append(f"| `{name}` | {batch} | {shown} |")
    return "\n".join(rows)


GENERATED = {
    "command-line": _command_line,
    "label-losses": _label_losses,
    "losses": _losses,
    "miners": _miners,
    "recipes": _recipes,
    "samplers": _samplers,
    "settings": _settings,
}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the marks in a page."""
    for mark, make in GENERATED.items():
        if f"{{{{ {mark} }}}}" in markdown:
            markdown = markdown.replace(f"{{{{ {mark} }}}}", make())
    return markdown
