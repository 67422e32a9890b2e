"""The command line: one verb, one function, which parses and calls.

Results go to standard output (with ``--json`` as one document), messages to standard error. Exit codes: 0 done; 2 the
caller's mistake, said in one message; 1 a bug of ours, with its traceback; 130 interrupted with the state saved.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
import yaml
from rich.console import Console
from rich.logging import RichHandler
from rich.table import Table

from likewise import cli_compare, cli_export, cli_search, cli_serve
from likewise.errors import Interrupted, LikewiseError, RankError, RecipeError
from likewise.launch import launched_rank
from likewise.terminal import (
    BudgetOption,
    Device,
    Json,
    OnBad,
    Sets,
    Source,
    WithSettings,
    checked_budget,
    output,
    print_json,
    say_budget,
    settings,
)

__all__ = ["app", "main", "show_messages"]

app = typer.Typer(
    name="likewise",
    help="Teach a model what 'alike' means, and measure whether it learned.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_metrics(metrics: dict[str, float]) -> None:
    from likewise.report.words import describe_metric, metric_order

    table = Table("metric", "value", "what it is")
    for name in sorted(metrics, key=metric_order):
        shown = describe_metric(name)
        table.add_row(name, shown.format(metrics[name]), shown.short)
    output.print(table)


@app.command(cls=WithSettings)
def train(
    recipe: Annotated[str, typer.Argument(help="A shipped name, a .yaml file or a .py file.")],
    data: Source = None,
    set_: Sets = None,
    budget: BudgetOption = None,
    seed: Annotated[int | None, typer.Option(help="Of splits, weights and order.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Run folder; default runs/RECIPE, or -2, -3 … where that is taken.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    on_bad_image: OnBad = None,
    as_json: Json = False,
) -> None:
    """Train one recipe, measure it and write its report."""
    from likewise import verbs

    say_budget([recipe], checked_budget(budget))
    run = verbs.train(
        recipe,
        out,
        data=data,
        budget=checked_budget(budget),
        seed=seed,
        resume=resume,
        **{key.replace(".", "__"): value for key, value in settings(set_, on_bad_image).items()},
    )
    if launched_rank():
        return
    if as_json:
        print_json({"folder": str(run.folder), "metrics": run.metrics, "warnings": run.warnings})
        return
    _print_metrics(run.metrics)
    for warning in run.warnings:
        output.print(f"note: {warning}")
    output.print(f"report: {run.folder / 'report.html'}", soft_wrap=True)


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    data: Source = None,
    on_bad_image: OnBad = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Measure a finished run again, also on other images."""
    from likewise.training import Run, remeasure

    metrics = remeasure(Run.load(run), data=data, overrides=settings(None, on_bad_image), device=device)
    if as_json:
        print_json({"folder": str(run), "data": data, "metrics": metrics})
    else:
        _print_metrics(metrics)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a run or of a comparison.")], as_json: Json = False
) -> None:
    """Write the report of a run or a comparison anew."""
    from likewise.verbs import report_on

    path = report_on(folder)
    if as_json:
        print_json({"report": str(path)})
    else:
        output.print(f"report: {path}", soft_wrap=True)


@app.command()
def recipes(
    name: Annotated[str | None, typer.Argument(help="Print this recipe whole, as YAML.")] = None,
    budget: BudgetOption = None,
    as_json: Json = False,
) -> None:
    """List the shipped recipes, or print one with all its settings."""
    from likewise.recipes import comparison_names, comparison_title, load_recipe, load_recipes, recipe_names

    if name is not None:
        recipe = load_recipe(name, budget=checked_budget(budget))
        if as_json:
            print_json(recipe.model_dump(mode="json"))
        else:
            sys.stdout.write(recipe.to_yaml())
        return
    listed = [load_recipe(shipped, budget=checked_budget(budget)) for shipped in recipe_names()]
    compared = {
        shipped: [recipe.name for recipe in load_recipes([shipped], budget=checked_budget(budget))]
        for shipped in comparison_names()
    }
    if as_json:
        found: list[dict[str, Any]] = [
            {"name": recipe.name, "title": recipe.title, "budget": recipe.budget} for recipe in listed
        ]
        found += [{"name": it, "title": comparison_title(it), "recipes": members} for it, members in compared.items()]
        print_json(found)
        return
    table = Table("recipe", "what it trains")
    for recipe in listed:
        table.add_row(recipe.name, recipe.title)
    output.print(table)
    if compared:
        table = Table("comparison", "what it compares", "recipes")
        for shipped, members in compared.items():
            table.add_row(shipped, comparison_title(shipped), ", ".join(members))
        output.print(table)


@app.command()
def data(
    source: Annotated[str, typer.Argument(help="A name, a path or a hub id.")],
    as_json: Json = False,
) -> None:
    """Say what a source holds, and what is wrong with it.

    Splits, images, classes, and every item that cannot be used.
    """
    from likewise.data import describe

    summary = describe(source).as_dict()
    if as_json:
        print_json(summary)
    else:
        sys.stdout.write(yaml.safe_dump(summary, sort_keys=False, allow_unicode=True))


app.add_typer(cli_compare.app)
app.add_typer(cli_search.app)
app.add_typer(cli_serve.app)
app.add_typer(cli_export.app)


def _fail(error: LikewiseError) -> NoReturn:
    # What every rank of a run finds out is said once: a wrong setting, a wish to stop, the failure of another rank.
    everywhere = isinstance(error, (RecipeError, Interrupted)) or (isinstance(error, RankError) and error.told)
    if launched_rank() == 0 or not everywhere:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
    sys.exit(130 if isinstance(error, Interrupted) else 2)


def show_messages() -> None:
    """Send what the package says to standard error: with the time on a terminal, as plain lines elsewhere.

    Of the processes that ``torchrun`` started the first one speaks.
    """
    if launched_rank():
        return
    handler = RichHandler(console=Console(stderr=True), show_path=False, show_level=False, markup=False)
    if not sys.stderr.isatty():
        handler = logging.StreamHandler()  # type: ignore[assignment]
    logging.getLogger("likewise").addHandler(handler)
    logging.getLogger("likewise").setLevel(logging.INFO)


def main() -> None:
    """Entry point of the command ``likewise``."""
    show_messages()
    try:
        app()
    except LikewiseError as error:
        _fail(error)
    except SystemExit as ended:
        if ended.code == 130:  # typer's own answer to a Ctrl-C that found nothing to save
            sys.stderr.write("Interrupted.\n")
        raise
