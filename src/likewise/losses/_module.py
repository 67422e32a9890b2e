"""A loss as an ``nn.Module``: the function with its keyword arguments fixed, and nothing else.

``class ContrastiveLoss(LossModule, function=contrastive_loss)`` is the whole definition. The module takes exactly the
keyword arguments of the function (a wrong name is an error that lists the right ones) and is called with its tensors.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn

from likewise.errors import LossInputError


class LossModule(nn.Module):
    """Base of the thin modules.

    Args:
        **options: the keyword arguments of the loss function, with its defaults.

    Raises:
        LossInputError: an option that the function does not have.

    Example:
        >>> from likewise.losses import ContrastiveLoss
        >>> ContrastiveLoss(margin=2.0)
        ContrastiveLoss(margin=2.0, form='squared', reduction='sum')
    """

    function: ClassVar[Callable[..., Any]]
    defaults: ClassVar[dict[str, Any]]

    def __init_subclass__(cls, function: Callable[..., Any] | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if function is None:
            return
        parameters = inspect.signature(function).parameters.values()
        named = [p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
        cls.function = staticmethod(function)
        cls.defaults = {p.name: p.default for p in named}
        cls.__signature__ = inspect.Signature(named)  # type: ignore[attr-defined]

    def __init__(self, **options: Any) -> None:
        super().__init__()
        unknown = sorted(set(options) - set(self.defaults))
        missing = sorted(k for k, v in self.defaults.items() if v is inspect.Parameter.empty and k not in options)
        if unknown or missing:
            raise LossInputError(
                f"{type(self).__name__} got {'unknown' if unknown else 'no'} option {(unknown or missing)[0]!r}.",
                expected=f"Expected: {', '.join(self.defaults)}.",
                advice="Check the spelling, or pass it when calling the function.",
            )
        self.options = {name: options.get(name, default) for name, default in self.defaults.items()}

    def forward(self, *tensors: Tensor, **options: Any) -> Tensor:
        """The loss of these tensors; an option given here (``memory``, ``tuples``) counts for this call."""
        loss: Tensor = type(self).function(*tensors, **{**self.options, **options})
        return loss

    def extra_repr(self) -> str:
        """The options that differ from None."""
        return ", ".join(f"{name}={value!r}" for name, value in self.options.items() if value is not None)
