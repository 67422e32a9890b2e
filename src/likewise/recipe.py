"""What a run is: one frozen, validated record, from the source of the data to the number of points in the picture.

A recipe is data. It is written to ``recipe.yaml`` in the run folder with every default resolved, and that file trains
the same run again. Shipped recipes are functions in ``likewise.recipes`` that return one.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, Field, SerializeAsAny, ValidationError, model_validator

from likewise.errors import RecipeError
from likewise.models import EncoderOptions, Head, Normalize, TextEncoderOptions, find_encoder, find_text_encoder
from likewise.objectives import ObjectiveOptions, find_objective, named
from likewise.recipe_options import DataOptions, EvaluationOptions, Options, Stage, TrainingOptions

__all__ = ["Budget", "DataOptions", "EvaluationOptions", "Recipe", "Stage", "TrainingOptions"]

Budget = Literal["smoke", "laptop", "paper"]


class Recipe(Options):
    """One run, complete.

    Attributes:
        name: of the recipe and, by default, of the run folder.
        title: one line for tables and reports.
        description: a paragraph for the report.
        budget: what the recipe was resolved for.
        seed: of the validation split, the weights, the order of the images and their augmentation.
        data: source and splits.
        encoder: the network from images to features.
        text_encoder: the network from captions to features, for objectives that learn from captions.
        embedding_dim: dimensions of the embedding.
        head: from features to the embedding: a ``linear`` layer, the residual ``projection`` head of the CLIP course sheet, or
            ``none``: the features are the embedding, and ``embedding_dim`` is their number.
        normalize: whether embeddings are divided by their norm: ``never``, only in the ``output``, or ``always``.
        batch_norm: normalise each dimension of the embedding over the batch.
        hidden: units of a layer with ReLU between the encoder's features and the embedding; ``None``: none.
        dropout: share of the features, and of the hidden units, that are left out at random in training.
        objective: the loss and how its batches are drawn.
        training: the loop.
        evaluation: what is measured and drawn.
        start: a run or model folder whose encoder the weights are taken from; ``None`` starts at random.
        start_take: ``encoder``, or ``model``: the embedding layer and the class scores too, as far as their shapes agree.
        before: stages that are trained first, one after the other, each from the weights of the one before. The settings of
            the recipe itself are those of the last stage, which is the run.

    Example:
        >>> from likewise import Recipe
        >>> recipe = Recipe(name="mine", data={"source": "digits"}, objective="cross_entropy")
        >>> recipe.with_overrides({"epochs": 3, "objective.label_smoothing": 0.1}).training.epochs
        3
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    title: str = ""
    description: str = ""
    budget: Budget = "laptop"
    seed: int = Field(default=0, ge=0, lt=2**32)
    data: DataOptions
    encoder: Annotated[SerializeAsAny[EncoderOptions], named(find_encoder)] = Field(
        default_factory=lambda: find_encoder("small_cnn")()  # type: ignore[call-arg]
    )
    text_encoder: Annotated[SerializeAsAny[TextEncoderOptions] | None, named(find_text_encoder)] = None
    embedding_dim: int = Field(default=64, ge=1)
    head: Head = "linear"
    normalize: Normalize = "never"
    batch_norm: bool = False
    hidden: int | None = Field(default=None, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    objective: Annotated[SerializeAsAny[ObjectiveOptions], named(find_objective)]
    training: TrainingOptions = TrainingOptions()
    evaluation: EvaluationOptions = EvaluationOptions()
    start: str | None = None
    start_take: Literal["encoder", "model"] = "encoder"
    before: tuple[Stage, ...] = ()

    @model_validator(mode="after")
    def _learns_from_what_it_can(self) -> Self:
        if self.data.learn_from != "train" and self.objective.needs_labels:
            raise ValueError(
                f"data.learn_from is {self.data.learn_from} and the objective {self.objective.name} learns from labels"
            )
        return self

    @model_validator(mode="after")
    def _resizes_where_it_can(self) -> Self:
        for what in (self.encoder, self.objective):
            if self.training.initial_scale < 1 and not what.any_size:
                raise ValueError(
                    f"training.initial_scale is {self.training.initial_scale:g} and {what.name} takes images of one size; "
                    "set it to 1"
                )
        return self

    @model_validator(mode="after")
    def _stages_fit(self) -> Self:
        names = [stage.name for stage in self.before]
        if len(set(names)) < len(names):
            raise ValueError(f"two stages have the same name ({', '.join(names)})")
        for index in range(len(names)):
            self.stage(index)
        return self

    def stage(self, index: int) -> Self:
        """The recipe of stage ``index`` of ``before``, complete in itself; its steps, images or seconds are its own alone.

        Raises:
            RecipeError: a setting of the stage does not exist or does not fit.
        """
        stage = self.before[index]
        start, take = self.start, self.start_take
        if index:
            start, take = f"../{self.before[index - 1].name}", self.before[index - 1].take
        training = self.training.model_copy(update={"steps": None, "images": None, "seconds": None})
        plain = self.model_copy(update={"before": (), "start": start, "start_take": take, "training": training})
        named = {"name": f"{self.name}-{stage.name}", "title": f"{self.title or self.name}: {stage.name}"}
        return plain.with_overrides(named | stage.set)

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """A recipe from plain values.

        Raises:
            RecipeError: names each field that is wrong, what it got and what it takes.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise _explain(error, f"recipe {values.get('name', '')!r}") from error

    def with_overrides(self, overrides: Mapping[str, Any]) -> Self:
        """A copy with some values replaced.

        Args:
            overrides: ``section.key`` (``objective.loss.margin``) or, where only one place has it, the end of it alone
                (``margin``), to the new value; in a stage before the run ``before.NAME.section.key``. Another ``name`` starts
                its section anew, with that one's defaults.

        Raises:
            RecipeError: no such key, or a value that does not fit.
        """
        values = self.model_dump()
        located, later = [], {}
        for key, value in overrides.items():
            if key.startswith("before."):
                self._stage_settings(values, key)[key.split(".", 2)[2]] = value
                continue
            try:
                located.append((self._locate(key), value))
            except RecipeError:
                if len(overrides) == 1:
                    raise
                later[key] = value  # what one of the others brings in, perhaps
        # What starts a section anew comes before what is set in it, in whichever order they were given.
        for path, value in sorted(located, key=lambda item: len(item[0]) - (item[0][-1] == "name")):
            _put(values, path, value)
        changed = type(self).parse(values)
        for key, value in later.items():
            changed = changed.with_overrides({key: value})
        return changed

    def _stage_settings(self, values: dict[str, Any], key: str) -> dict[str, Any]:
        """The ``set`` in ``values`` of the stage that ``before.NAME.section.key`` names."""
        name, _, setting = key.removeprefix("before.").partition(".")
        names = [stage.name for stage in self.before]
        if name not in names or not setting:
            raise RecipeError(
                f"{key!r} is not a setting of a stage of recipe {self.name!r}.",
                expected=f"Its stages before the run: {', '.join(names) or 'none'}.",
                advice="Write before.STAGE.section.key, such as before.pretrain.training.epochs.",
            )
        settings: dict[str, Any] = values["before"][names.index(name)]["set"]
        return settings

    def _locate(self, key: str) -> list[str]:
        """The path that ``key`` means."""
        known = list(_paths(self.model_dump()))
        places = [place for place in known if place == key] or [
            place for place in known if place.endswith(f".{key}") and key != "name"
        ]
        if len(places) == 1:
            return places[0].split(".")
        section, dot, _ = key.partition(".")
        if dot and section in type(self).model_fields and isinstance(getattr(self, section), BaseModel | None):
            return key.split(".")  # parsing says what may stand there
        ends = [place.rpartition(".")[2] for place in known]
        near = places or difflib.get_close_matches(key, known + ends, n=3)
        raise RecipeError(
            f"{key!r} is not a setting of recipe {self.name!r}."
            if not places
            else f"{key!r} stands in {len(places)} places of recipe {self.name!r}.",
            expected=f"Near it: {', '.join(near)}." if near else "Settings are section.key, such as training.epochs.",
            advice=f"likewise recipes {self.name} prints all of them.",
        )

    def to_yaml(self) -> str:
        """The recipe with every default resolved, as YAML that ``from_yaml`` reads back."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)

    @classmethod
    def from_yaml(cls, text: str, *, origin: str = "the text given") -> Self:
        """Read what ``to_yaml`` wrote, or a shorter recipe written by hand.

        Raises:
            RecipeError: not YAML, or not a recipe.
        """
        try:
            values = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise RecipeError(f"{origin} is not YAML ({error}).", advice="Check its indentation.") from error
        if not isinstance(values, dict):
            raise RecipeError(
                f"{origin} holds {type(values).__name__}, not a recipe.",
                expected="Expected a mapping with at least name, data and objective.",
            )
        return cls.parse(values)


def _paths(values: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Every key of nested mappings, ``section.key``."""
    for key, value in values.items():
        yield above + key
        if isinstance(value, Mapping):
            yield from _paths(value, f"{above}{key}.")


def _put(values: dict[str, Any], path: list[str], value: Any) -> None:
    """Set one value in nested mappings; a name, or a mapping with a name replaced as a whole, starts it anew."""
    *sections, last = path
    for place, section in enumerate(sections):
        if last == "name" and place == len(sections) - 1:
            values[section] = {"name": value}
            return
        below = values.get(section)
        if not isinstance(below, dict):
            values[section] = below = {} if below is None else {"name": below}
        values = below
    values[last] = value


def _explain(error: ValidationError, what: str) -> RecipeError:
    problems = []
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"]) or "the recipe"
        got = "" if problem["type"] == "missing" else f", got {problem['input']!r}"
        problems.append(f"{where}: {problem['msg'].removeprefix('Value error, ')}{got}")
    return RecipeError(
        f"{len(problems)} setting{'s' if len(problems) > 1 else ''} of {what} cannot be used: {'; '.join(problems)}.",
        advice="Correct the values named; `likewise recipes NAME` prints a complete recipe to start from.",
    )
