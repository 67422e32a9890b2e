"""Settings chosen on validation, with the same number of trials for every recipe under every condition.

A trial trains the recipe with other values of what its search space names (the learning rate, and the margin, temperature …
that the loss declares beside its equation) and is judged on validation by what ``selection_metric`` names: 1-NN accuracy, or
text-to-image recall@1 where it learns from captions, or zero-shot accuracy where these are made of class names. Test is never
embedded. The first trial is the recipe as it is, so a search never ends below it on validation. The next ones, ``SPREAD`` in
all, are spread evenly over the space. Those after them are drawn by Optuna's tree-structured Parzen estimator, which starts
from these and draws none at random: of eight or ten trials on quadratics of two to four settings, with and without noise,
the best then comes nearer to the optimum than when eight are spread. All trials have one seed, which no reported run has.

Finished trials stand in ``search/trials.sqlite3``, and each has a folder beside it. What is drawn next depends on them
alone, so a finished trial is never computed again, one that was stopped goes on, and a search that was killed ends with the
same choice.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from likewise.comparison.rows import Search
from likewise.errors import Interrupted, LikewiseError, RecipeError
from likewise.losses import Range
from likewise.recipe import Recipe
from likewise.training import try_out
from likewise.training.trial import refuse_what_cannot_be_judged, selection_metric

if TYPE_CHECKING:
    import optuna

__all__ = ["SEARCH_SEED", "failed_search", "open_storage", "search", "search_space", "trials_folder"]

logger = logging.getLogger("likewise")

SEARCH_SEED = 1000
SPREAD = 4
LEARNING_RATE = "training.learning_rate"
#: The learning rate is looked for within this factor of the recipe's own, to both sides.
WITHIN = 5.0


def search_space(recipe: Recipe) -> dict[str, Range]:
    """What a search chooses for a recipe, by setting; the recipe's own values lie inside.

    Example:
        >>> recipe = Recipe(name="mine", data={"source": "digits"}, objective={"name": "siamese", "margin": 0.1})
        >>> search_space(recipe)["objective.margin"]
        Range(low=0.1, high=10.0, log=True)
    """
    rate = recipe.training.learning_rate
    space = {LEARNING_RATE: Range(rate / WITHIN, rate * WITHIN)}
    space |= {f"objective.{key}": found for key, found in recipe.objective.search_space.items()}
    own = _own(recipe, space)
    return {key: Range(min(own[key], found.low), max(own[key], found.high), found.log) for key, found in space.items()}


def search(recipe: Recipe, condition: str, folder: Path, trials: int, *, quiet: bool = False) -> Search:
    """Run the trials that are still to do, and choose.

    Args:
        recipe: under one condition; its seed is replaced by ``SEARCH_SEED``.
        condition: its key.
        folder: of the comparison.
        trials: at least 1.
        quiet: no progress on standard error.

    Returns:
        What was tried and chosen; nothing is chosen where every trial failed.

    Raises:
        RecipeError: trials of another recipe lie there, or the source has no labels to judge one by.
        DatasetError: the images cannot be had or used.
        Interrupted: SIGINT or SIGTERM came; the same call goes on.
    """
    recipe = recipe.with_overrides({"seed": SEARCH_SEED})
    space = search_space(recipe)
    place = trials_folder(folder, recipe, condition)
    place.mkdir(parents=True, exist_ok=True)
    study = _open_study(recipe, condition, space, folder)
    if len(study.trials) < trials:
        refuse_what_cannot_be_judged(recipe)
    for number in range(len(study.trials), trials):
        values = _draw(study, recipe, space)
        shown = ", ".join(f"{key.rpartition('.')[2]} {value:g}" for key, value in values.items())
        logger.info("search %s, train size %s, trial %d of %d: %s", recipe.name, condition, number + 1, trials, shown)
        tried = recipe.with_overrides(values)
        _add(study, space, values, _outcome(tried, place / f"trial-{number:03d}", quiet=quiet))
    return _result(study.trials[:trials], recipe, condition, space)


def failed_search(recipe: Recipe, condition: str, error: str) -> Search:
    """What stands for a search that did not come to its end."""
    recipe = recipe.with_overrides({"seed": SEARCH_SEED})
    return dataclasses.replace(_result([], recipe, condition, search_space(recipe)), error=error)


def trials_folder(folder: Path, recipe: Recipe, condition: str) -> Path:
    """Where the trials of a recipe under a condition lie, in the folder of the comparison."""
    return folder / "search" / recipe.name / f"train-{condition}"


def open_storage(folder: Path) -> Any:
    """Where finished trials stand. Made by one process before others open it: SQLite makes a table for one of two, and the
    other one's search would fail."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    file = folder / "search" / "trials.sqlite3"
    file.parent.mkdir(parents=True, exist_ok=True)
    return optuna.storages.RDBStorage(f"sqlite:///{file}")


def _open_study(recipe: Recipe, condition: str, space: Mapping[str, Range], folder: Path) -> optuna.Study:
    import optuna

    name, storage = f"{recipe.name}, train size {condition}", open_storage(folder)
    study = optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
    if study.trials and all(trial.value is None for trial in study.trials):
        # All failed; they are tried again, since what stopped them may have been mended.
        optuna.delete_study(study_name=name, storage=storage)
        study = optuna.create_study(storage=storage, study_name=name, direction="maximize")
    now = json.dumps({"recipe": recipe.model_dump(mode="json"), "space": _plain(space)})
    if study.user_attrs.get("of", now) != now:
        raise RecipeError(
            f"{folder / 'search'} holds trials of another {recipe.name}.",
            expected="A comparison goes on with the recipes, budget and settings it began with.",
            advice="Give the same options as then, or another --out.",
        )
    study.set_user_attr("of", now)
    return study


def _draw(study: optuna.Study, recipe: Recipe, space: Mapping[str, Range]) -> dict[str, float]:
    """The values of the next trial: the recipe's own at first, then with three significant digits."""
    import optuna

    done = study.trials
    if not done:
        return _own(recipe, space)
    if len(done) < SPREAD:
        values = {
            key: _at(found, share)
            for (key, found), share in zip(space.items(), _spread(len(done), len(space)), strict=True)
        }
    else:
        # The spread trials are its start-up; by default it would draw at random until ten are complete.
        sampler = optuna.samplers.TPESampler(n_startup_trials=1, seed=len(done))
        drawn = optuna.create_study(direction="maximize", sampler=sampler)
        drawn.add_trials(done)
        values = drawn.ask(_distributions(space)).params
    return {key: min(max(float(f"{values[key]:.3g}"), found.low), found.high) for key, found in space.items()}


def _spread(number: int, dimensions: int) -> list[float]:
    """Point ``number`` of a sequence whose every beginning fills the unit cube evenly (Roberts 2018, R_d).

    Coordinate i is the fractional part of ½ + number / g^i, g the root of x^(d+1) = x + 1.
    """
    g = 2.0
    for _ in range(50):
        g = (1 + g) ** (1 / (dimensions + 1))
    return [(0.5 + number / g ** (i + 1)) % 1 for i in range(dimensions)]


def _at(found: Range, share: float) -> float:
    """The value at a share of the way from the lowest to the highest."""
    if found.log:
        return float(found.low * (found.high / found.low) ** share)
    return found.low + (found.high - found.low) * share


def _outcome(recipe: Recipe, folder: Path, *, quiet: bool) -> dict[str, Any]:
    try:
        found = try_out(recipe, folder, quiet=quiet)
        return {"value": found[selection_metric(recipe)], "seconds": found["total_seconds"]}
    except Interrupted as error:
        raise Interrupted(
            error.got,
            expected=f"Finished trials and the state of this one are saved in {folder}.",
            advice="Give the same command again to go on.",
        ) from error
    except LikewiseError as error:
        logger.warning("trial failed: %s: %s", folder.name, error)
        return {"error": f"{type(error).__name__}: {error}"}


def _add(study: optuna.Study, space: Mapping[str, Range], values: dict[str, float], outcome: dict[str, Any]) -> None:
    import optuna

    failed = "error" in outcome
    study.add_trial(
        optuna.create_trial(
            state=optuna.trial.TrialState.FAIL if failed else optuna.trial.TrialState.COMPLETE,
            params=values,
            distributions=_distributions(space),
            value=outcome.get("value"),
            user_attrs={key: outcome[key] for key in ("seconds", "error") if key in outcome},
        )
    )


def _result(
    trials: list[optuna.trial.FrozenTrial], recipe: Recipe, condition: str, space: Mapping[str, Range]
) -> Search:
    done = [trial for trial in trials if trial.value is not None]
    best = max(done, key=lambda trial: (trial.value, -trial.number), default=None)
    errors = [str(trial.user_attrs["error"]) for trial in trials if trial.value is None]
    return Search(
        recipe=recipe.name,
        condition=condition,
        trials=len(trials),
        failed=len(errors),
        error=errors[0] if errors else None,
        seed=SEARCH_SEED,
        metric=selection_metric(recipe),
        space=_plain(space),
        own=_own(recipe, space),
        own_value=trials[0].value if trials else None,
        chosen=None if best is None else dict(best.params),
        value=None if best is None else best.value,
        seconds=sum(float(trial.user_attrs["seconds"]) for trial in done),
    )


def _own(recipe: Recipe, space: Mapping[str, Range]) -> dict[str, float]:
    values = recipe.model_dump()
    found = {}
    for key in space:
        value: Any = values
        for part in key.split("."):
            value = value[part]
        found[key] = float(value)
    return found


def _plain(space: Mapping[str, Range]) -> dict[str, list[Any]]:
    return {key: [found.low, found.high, "log" if found.log else "linear"] for key, found in space.items()}


def _distributions(space: Mapping[str, Range]) -> dict[str, Any]:
    import optuna

    return {
        key: optuna.distributions.FloatDistribution(found.low, found.high, log=found.log)
        for key, found in space.items()
    }
