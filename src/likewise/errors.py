"""Everything Likewise raises on purpose, as one tree.

A message has three parts: what was got, what was expected, what to do. Catch ``LikewiseError`` for all of them; the
command line turns one into a single line and exit code 2, while any other exception is a bug of ours and exits with 1.
"""

from __future__ import annotations

__all__ = [
    "DamagedIndexError",
    "DatasetError",
    "EstimatorError",
    "EvaluationError",
    "Interrupted",
    "LikewiseError",
    "LossInputError",
    "ModelError",
    "RankError",
    "RecipeError",
    "RunError",
    "SearchIndexError",
    "ServeError",
    "TrainingError",
]


class LikewiseError(Exception):
    """Root of all errors of this package.

    Args:
        got: what was found, with its name, position and value.
        expected: what should have been there.
        advice: what the person can do about it.

    Example:
        >>> str(DatasetError("labels.csv has 3 columns.", expected="Expected 785.", advice="Export it again."))
        'labels.csv has 3 columns. Expected 785. Export it again.'
    """

    def __init__(self, got: str, *, expected: str = "", advice: str = "") -> None:
        self.got = got
        self.expected = expected
        self.advice = advice
        super().__init__(" ".join(part for part in (got, expected, advice) if part))


class DatasetError(LikewiseError):
    """A source, file or item of data cannot be used as it is."""


class LossInputError(LikewiseError, ValueError):
    """The arguments of a loss do not fit its equation."""


class ModelError(LikewiseError):
    """A model, model folder or encoder option is not usable."""


class RecipeError(LikewiseError):
    """A recipe, or an override of one, is not valid."""


class RunError(LikewiseError):
    """A run folder is missing, incomplete, or in use by another run."""


class SearchIndexError(LikewiseError):
    """An index is missing, damaged, of another model, or was asked what it cannot answer."""


class DamagedIndexError(SearchIndexError):
    """The files of an index cannot be read: nothing that was asked is to blame."""


class ServeError(LikewiseError):
    """The server cannot be started as asked, or refuses a request.

    Args:
        got, expected, advice: as for every error.
        status: of the HTTP response.
    """

    def __init__(self, got: str, *, expected: str = "", advice: str = "", status: int = 400) -> None:
        super().__init__(got, expected=expected, advice=advice)
        self.status = status


class TrainingError(LikewiseError):
    """Training had to stop: the loss is not finite, the disk is full, a device is missing."""


class RankError(TrainingError):
    """Another rank of the run failed, or is gone.

    Args:
        got, expected, advice: as for every error.
        told: whether the other rank says itself what happened.
    """

    def __init__(self, got: str, *, expected: str = "", advice: str = "", told: bool = False) -> None:
        super().__init__(got, expected=expected, advice=advice)
        self.told = told


class EvaluationError(LikewiseError, ValueError):
    """The arrays given to an evaluation protocol do not fit it."""


class EstimatorError(LikewiseError, ValueError):
    """The samples, labels or settings given to an estimator do not fit."""


class Interrupted(LikewiseError):
    """A person or the system asked the run to stop; its state is saved. The command line exits with 130."""
