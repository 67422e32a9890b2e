"""Class names as a picture can show them: short, in one line or two, only glyphs that a typeface here has.

A name is data from outside. It may be empty, 300 letters long, hold a dollar sign or a line break, or be written in
a script for which no font is installed; the HTML page always shows it whole, a picture shows what fits.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

_FALLBACKS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "PingFang SC",
    "Hiragino Sans",
    "Microsoft YaHei",
    "Malgun Gothic",
    "Arial Unicode MS",
)


@lru_cache(maxsize=1)
def families() -> tuple[str, ...]:
    """DejaVu Sans, which matplotlib brings along, then those wide-coverage typefaces that this machine has."""
    installed = set(font_manager.fontManager.get_font_names())
    return ("DejaVu Sans", *(name for name in _FALLBACKS if name in installed))


@lru_cache(maxsize=1)
def _glyphs() -> frozenset[int]:
    return frozenset(code for family in families() for code in FT2Font(font_manager.findfont(family)).get_charmap())


def printable(text: str, instead: str = "?") -> str:
    """``text`` on one line with every character that no typeface has replaced.

    Example:
        >>> printable("caf\\u00e9\\n\\U0010ffff")
        'café ?'
    """
    glyphs = _glyphs()
    return "".join(character if ord(character) in glyphs else instead for character in " ".join(text.split()))


def short(text: str, limit: int) -> str:
    """At most ``limit`` characters, with an ellipsis where some were cut.

    Example:
        >>> short("Ankle boot", 20), short("golden retriever", 8)
        ('Ankle boot', 'golden…')
    """
    line = printable(text)
    return line if len(line) <= limit else line[: max(1, limit - 1)].rstrip(" _-,/") + "…"


def short_names(texts: Sequence[str], limit: int) -> list[str]:
    """Each as by ``short``; where that makes two of them the same, the end is kept and the middle left out.

    Example:
        >>> short_names(["oak", "maple tree 1", "maple tree 2"], 9)
        ['oak', 'mapl…ee 1', 'mapl…ee 2']
    """
    cut = [short(text, limit) for text in texts]
    lines = [printable(text) for text in texts]
    head = limit // 2
    return [
        line[:head].rstrip() + "…" + line[head + 1 - limit :].lstrip() if cut.count(name) > 1 and name != line else name
        for name, line in zip(cut, lines, strict=True)
    ]


def wrapped(text: str, width: int, lines: int = 2) -> str:
    """Up to ``lines`` lines of ``width`` characters, broken at spaces and after ``/``, ``_``, ``-`` and ``,``.

    Example:
        >>> wrapped("T-shirt/top", 8), wrapped("Ankle boot", 20), wrapped("great_white_shark of the south", 8)
        ('T-shirt/\\ntop', 'Ankle boot', 'great_\\nwhite_s…')
    """
    rows = [""]
    words = re.findall(r"[^\s/_,\-]*[/_,\-]|[^\s/_,\-]+|\s", printable(text))
    for at, word in enumerate(words):
        if len(rows[-1]) + len(word.rstrip()) <= width:
            rows[-1] += word
        elif rows == [""] or len(rows) == lines:
            rows[-1] += "".join(words[at:])
            break
        else:
            rows.append(word.lstrip())
    return "\n".join(short(row.strip(), width) for row in rows)


def class_name(class_names: Sequence[str], label: int) -> str:
    """The name of class ``label``, or ``class 7`` where it has none that could be shown.

    Example:
        >>> class_name(("cat", ""), 0), class_name(("cat", ""), 1), class_name((), 7)
        ('cat', 'class 1', 'class 7')
    """
    name = class_names[label].strip() if 0 <= label < len(class_names) else ""
    return name if any(character.isalnum() for character in printable(name, instead="")) else f"class {label}"
