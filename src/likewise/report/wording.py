"""Numbers and facts as people read them: 92.1 %, 91.6 to 92.6, 2 min 5 s, 57,000 images."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

Unit = Literal["share", "number", "dimensions", "seconds", "megabytes", "images/s", "images", "steps", "yes or no"]
"""How a number is printed; a share is printed in per cent."""


def percent(share: float, digits: int = 1) -> str:
    """A share in per cent.

    Example:
        >>> percent(0.9213), percent(0.9213, 2)
        ('92.1 %', '92.13 %')
    """
    return f"{100 * share:.{digits}f} %"


def unbroken(text: str) -> str:
    """The text with no line break between a number and its unit.

    Example:
        >>> unbroken("91.6 to 92.6 % in 5 s")
        '91.6 to 92.6\\xa0% in 5\\xa0s'
    """
    return re.sub(r"(?<=\d) (?=(?:%|s|min|h|MB)(?!\w))", "\u00a0", text)


def between(interval: Sequence[float | None] | None, digits: int = 1, unit: Unit = "share") -> str:
    """An interval, of shares in per cent; empty where there is none.

    Example:
        >>> between((0.916, 0.926)), between(None), between((None, None))
        ('91.6 to 92.6 %', '', '')
        >>> between((0.412, 0.448), unit="number")
        '0.412 to 0.448'
    """
    if interval is None or any(bound is None for bound in interval):
        return ""
    low, high = (float(bound) for bound in interval if bound is not None)
    if unit != "share":
        return f"{quantity(low, unit)} to {quantity(high, unit)}"
    return f"{100 * low:.{digits}f} to {100 * high:.{digits}f} %"


def duration(seconds: float) -> str:
    """Seconds as a person says them.

    Example:
        >>> duration(0.42), duration(25.3), duration(125), duration(7384)
        ('0.42 s', '25.3 s', '2 min 5 s', '2 h 3 min')
    """
    if seconds < 10:
        return f"{seconds:.2g} s" if seconds < 1 else f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def quantity(value: Any, unit: Unit) -> str:
    """A metric's value with its unit.

    Example:
        >>> quantity(0.9213, "share"), quantity(12.345, "dimensions"), quantity(-3.21987, "number")
        ('92.13 %', '12.3 dimensions', '-3.220')
        >>> quantity(float("nan"), "share"), quantity(1234567.0, "images/s")
        ('not a number', '1,234,567 images/s')
    """
    if not isinstance(value, int | float) or isinstance(value, bool):
        return str(value)
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else "infinite"
    if unit == "share":
        return percent(value, 2)
    if unit == "yes or no":
        return "yes" if value else "no"
    if unit == "seconds":
        return duration(value)
    if unit in ("images", "steps"):
        return f"{value:,.0f} {unit}"
    if unit == "number":
        return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}" if abs(value) < 1000 else f"{value:,.0f}"
    digits = 1 if abs(value) < 100 else 0
    return f"{value:,.{digits}f} {'MB' if unit == 'megabytes' else unit}"


def count(number: int, noun: str) -> str:
    """A number with its noun, in the plural where it must be.

    Example:
        >>> count(57000, "image"), count(1, "epoch"), count(2, "class")
        ('57,000 images', '1 epoch', '2 classes')
    """
    plural = noun if number == 1 else noun + ("es" if noun.endswith("s") else "s")
    return f"{number:,} {plural}"


def flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """A nested mapping as lines of name and printable value, for a table.

    Example:
        >>> flat({"python": "3.11", "cpu": {"model": "x", "cores": 2}, "tags": ["a", "b"]})
        [('python', '3.11'), ('cpu model', 'x'), ('cpu cores', '2'), ('tags', 'a, b')]
    """
    lines: list[tuple[str, str]] = []
    for name, value in values.items():
        label = f"{prefix} {name}".strip().replace("_", " ")
        if isinstance(value, Mapping):
            lines += flat(value, label)
        elif isinstance(value, list | tuple):
            lines.append((label, ", ".join(str(item) for item in value)))
        elif value is not None:
            lines.append((label, str(value)))
    return lines
