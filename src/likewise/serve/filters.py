"""Which filters a stranger may write: comparisons of the columns of the index, and nothing else of SQL.

A filter is parsed here by the grammar below and written anew, so that the table is asked what was understood and no more: no
function, no statement, no sub-query, no column that is not meant to be asked for. Where a source came from on this
machine is such a column.

    condition   = conjunction { OR conjunction }
    conjunction = negation { AND negation }
    negation    = [ NOT ] ( "(" condition ")" | test )
    test        = column [ comparison ( literal | column ) | IS [ NOT ] NULL
                         | [ NOT ] LIKE text | [ NOT ] IN "(" literal { "," literal } ")"
                         | [ NOT ] BETWEEN literal AND literal ]
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple, NoReturn

from likewise.errors import ServeError

__all__ = ["COLUMNS", "checked_filter"]

COLUMNS = {"id": "str", "split": "str", "label": "int", "class_name": "str", "caption": "str"}
DEPTH = 20
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<text>'(?:[^']|'')*') |
        (?P<number>[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?) |
        `(?P<quoted>[^`]+)` |
        (?P<word>[^\W\d]\w*) |
        (?P<sign><=|>=|<>|!=|=|<|>|\(|\)|,)
    )""",
    re.VERBOSE,
)
_NUMBERS = {"int": "number", "float": "number"}
_COMPARISONS = ("=", "<>", "!=", "<", "<=", ">", ">=")
_KEYWORDS = {"AND", "OR", "NOT", "IS", "NULL", "LIKE", "IN", "BETWEEN", "TRUE", "FALSE"}


class _Token(NamedTuple):
    kind: str  # text, number, column, keyword, sign, end
    value: str
    position: int


def checked_filter(text: str, further: Mapping[str, str]) -> str:
    """The filter as it is put to the table.

    Args:
        text: what a client wrote.
        further: kinds of the further columns of the index by name: ``int``, ``float``, ``str`` or ``bool``.

    Raises:
        ServeError: it is something else than the grammar allows.

    Example:
        >>> checked_filter("label=3 and class_name in ('boot', 'shoe')", {})
        "`label` = 3 AND `class_name` IN ('boot', 'shoe')"
        >>> checked_filter("id = read_file('/etc/passwd')", {})
        Traceback (most recent call last):
        ...
        likewise.errors.ServeError: The filter has 'read_file' at position 5. ...
    """
    parser = _Parser(text, {**COLUMNS, **further})
    written = parser.condition(0)
    parser.end()
    return written


class _Parser:
    def __init__(self, text: str, columns: Mapping[str, str]) -> None:
        self._columns = columns
        self._tokens = self._cut(text)
        self._at = 0

    def _cut(self, text: str) -> list[_Token]:
        tokens, position, end = [], 0, len(text.rstrip())
        while position < end:
            found = _TOKEN.match(text, position)
            if found is None:
                start = position + len(text[position:]) - len(text[position:].lstrip())
                self._refuse(_Token("sign", text[start], start))
            kind = found.lastgroup or ""
            value = found[kind]
            if kind == "word" and value.upper() in _KEYWORDS:
                kind, value = "keyword", value.upper()
            elif kind in ("word", "quoted"):
                kind = "column"
            tokens.append(_Token(kind, value, found.start(found.lastgroup or 0)))
            position = found.end()
        return [*tokens, _Token("end", "its end", end)]

    def condition(self, depth: int) -> str:
        parts = [self._conjunction(depth)]
        while self._take("keyword", "OR"):
            parts.append(self._conjunction(depth))
        return " OR ".join(parts)

    def end(self) -> None:
        if self._next.kind != "end":
            self._refuse(self._next)

    def _conjunction(self, depth: int) -> str:
        parts = [self._negation(depth)]
        while self._take("keyword", "AND"):
            parts.append(self._negation(depth))
        return " AND ".join(parts)

    def _negation(self, depth: int) -> str:
        no = "NOT " if self._take("keyword", "NOT") else ""
        if not self._take("sign", "("):
            return no + self._test()
        if depth == DEPTH:
            self._refuse(self._tokens[self._at - 1], f"Expected at most {DEPTH} brackets inside each other.")
        inside = self.condition(depth + 1)
        self._expect("sign", ")")
        return f"{no}({inside})"

    def _test(self) -> str:
        column, kind = self._column()
        for comparison in _COMPARISONS:
            if self._take("sign", comparison):
                if self._next.kind != "column":
                    return f"{column} {comparison} {self._literal(kind)}"
                token = self._next
                other, other_kind = self._column()
                if _NUMBERS.get(kind, kind) != _NUMBERS.get(other_kind, other_kind):
                    self._refuse(token, f"Expected a column of the type {kind} to compare with.")
                return f"{column} {comparison} {other}"
        if self._take("keyword", "IS"):
            no = "NOT " if self._take("keyword", "NOT") else ""
            self._expect("keyword", "NULL")
            return f"{column} IS {no}NULL"
        no = "NOT " if self._take("keyword", "NOT") else ""
        if kind == "str" and self._take("keyword", "LIKE"):
            return f"{column} {no}LIKE {self._literal(kind)}"
        if self._take("keyword", "IN"):
            self._expect("sign", "(")
            literals = [self._literal(kind)]
            while self._take("sign", ","):
                literals.append(self._literal(kind))
            self._expect("sign", ")")
            return f"{column} {no}IN ({', '.join(literals)})"
        if self._take("keyword", "BETWEEN"):
            low = self._literal(kind)
            self._expect("keyword", "AND")
            return f"{column} {no}BETWEEN {low} AND {self._literal(kind)}"
        if no or kind != "bool":
            self._refuse(self._next)
        return column

    def _column(self) -> tuple[str, str]:
        token = self._next
        if token.kind != "column" or token.value not in self._columns:
            self._refuse(token)
        self._at += 1
        return f"`{token.value}`", self._columns[token.value]

    def _literal(self, kind: str) -> str:
        token = self._next
        fits = {
            "str": token.kind == "text",
            "int": token.kind == "number",
            "float": token.kind == "number",
            "bool": token.kind == "keyword" and token.value in ("TRUE", "FALSE"),
        }
        if not fits[kind]:
            wanted = {"str": "a text in single quotes", "bool": "TRUE or FALSE"}.get(kind, "a number")
            self._refuse(token, f"Expected {wanted} there.")
        self._at += 1
        return token.value.removeprefix("+")

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self, kind: str, value: str) -> bool:
        if (self._next.kind, self._next.value) != (kind, value):
            return False
        self._at += 1
        return True

    def _expect(self, kind: str, value: str) -> None:
        if not self._take(kind, value):
            self._refuse(self._next, f"Expected {value} there.")

    def _refuse(self, token: _Token, expected: str = "") -> NoReturn:
        names = ", ".join(self._columns)
        raise ServeError(
            f"The filter has {token.value!r} at position {token.position}."
            if token.kind != "end"
            else f"The filter ends at position {token.position}, in the middle.",
            expected=expected or f"Expected comparisons of the columns {names}.",
            advice="Write =, <>, <, >, IN, LIKE, BETWEEN and IS NULL with AND, OR, NOT and brackets; "
            "texts in single quotes; functions are not taken.",
        )
