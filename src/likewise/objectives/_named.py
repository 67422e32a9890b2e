"""Options that say which kind they are: ``{name: classes, images_per_class: 4}``, or the name alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, BeforeValidator

from likewise.errors import LikewiseError

__all__ = ["named"]


def named(find: Callable[[str], type[BaseModel]]) -> BeforeValidator:
    """Validates a field as the options class that ``find`` gives for its ``name``."""

    def resolve(value: Any) -> Any:
        if isinstance(value, str):
            value = {"name": value}
        if isinstance(value, Mapping):
            try:
                return find(str(value.get("name"))).model_validate(dict(value))
            except LikewiseError as error:
                raise ValueError(str(error)) from error
        return value

    return BeforeValidator(resolve)
