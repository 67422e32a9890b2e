"""The verb that compares: recipes × seeds × conditions, in one table and one report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from likewise.errors import RecipeError
from likewise.terminal import (
    BudgetOption,
    EngineOption,
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

__all__ = ["app"]

app = typer.Typer()


@app.command(cls=WithSettings)
def compare(
    recipes: Annotated[list[str], typer.Argument(help="Two or more recipes, or the name of a shipped comparison.")],
    seeds: Annotated[int, typer.Option(min=1, help="Seeds 0 … n-1 of every recipe.")] = 3,
    train_sizes: Annotated[
        str | None, typer.Option(help="Images (100), shares (0.1) or 10/class to train on, with commas: 100,1000,1.0.")
    ] = None,
    label_noise: Annotated[
        str | None, typer.Option(help="Shares of wrong labels in train, with commas: 0,0.2,0.4.")
    ] = None,
    unseen_classes: Annotated[
        str | None, typer.Option(help="Shares of the classes that only the test holds, with commas: 0.5.")
    ] = None,
    equal: Annotated[
        str | None, typer.Option(metavar="BUDGET", help="For every run: seconds=60, steps=2000 or images=500000.")
    ] = None,
    trials: Annotated[
        int, typer.Option(help="Trials on validation that choose each recipe's settings; 0: as they are.")
    ] = 0,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Runs at a time, which divide the machine; default 1, with ray all it has."),
    ] = None,
    engine: EngineOption = "local",
    data: Source = None,
    set_: Sets = None,
    on_bad_image: OnBad = None,
    budget: BudgetOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder; a comparison that is there goes on. Default runs/comparison, or -2, -3 … where another is there."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare recipes over seeds and training sizes, in one report.

    The exit code is 1 where a run failed; the others are in the report.
    """
    from likewise import verbs
    from likewise.comparison import as_dict, as_table, chosen_lines

    say_budget(recipes, checked_budget(budget))
    result = verbs.compare(
        recipes,
        out=out,
        seeds=seeds,
        train_sizes=_sizes(train_sizes),
        label_noise=_shares("--label-noise", label_noise),
        unseen_classes=_shares("--unseen-classes", unseen_classes),
        equal=equal,
        trials=trials,
        jobs=jobs,
        engine=engine,
        data=data,
        budget=checked_budget(budget),
        overrides=settings(set_, on_bad_image),
    )
    if as_json:
        print_json(as_dict(result) | {"folder": str(result.folder)})
    else:
        output.print(as_table(result))
        for line in chosen_lines(result):
            output.print(f"chosen for {line}", soft_wrap=True)
        for statement in result.statements:
            output.print(f"- {statement}", soft_wrap=True)
        output.print(f"report: {result.folder / 'report.html'}", soft_wrap=True)
    if any(cell.status == "failed" for cell in result.cells):
        raise typer.Exit(1)


def _sizes(text: str | None) -> list[int | float | str] | None:
    if text is None:
        return None
    try:
        return [part.strip() if "/" in part else float(part) if "." in part else int(part) for part in text.split(",")]
    except ValueError as error:
        raise RecipeError(
            f"--train-sizes {text!r} cannot be read.",
            expected="Expected counts, shares and counts per class with commas between, such as 10/class,1000,0.1,1.0.",
        ) from error


def _shares(option: str, text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise RecipeError(
            f"{option} {text!r} cannot be read.", expected="Expected shares with commas between, such as 0,0.2,0.4."
        ) from error
