"""Selectors of labels, such as `env=prod,team in (a,b),old!=yes`.

    selector    = requirement *( "," requirement )
    requirement = key "=" value / key "!=" value / key [ "exists" ]
                / key ( "in" / "notin" ) "(" value *( "," value ) ")"

No value needs quoting. Time to read one grows with its length.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from api.http.errors import BadRequest
from ledger.domain.labels import is_key, is_value
from projections.views.producers.pages import Requirement

LENGTH_MOST = 4_000
REQUIREMENTS_MOST = 32
VALUES_MOST = 32
"""Values that one requirement names."""

_TOKEN = re.compile(r"([A-Za-z0-9._:/@+-]+)|(==|!=|[=(),])|[ \t]+")


class _Token(NamedTuple):
    """A word, or a sign; at the end, neither."""

    word: str
    sign: str


_END = _Token("", "")


def read_selector(text: str) -> tuple[Requirement, ...]:
    """Return what a selector requires. Raise `BadRequest`, also if nothing in it can lead."""
    if len(text) > LENGTH_MOST:
        raise _refused(f"a selector has at most {LENGTH_MOST} characters")
    found = tuple(_Selector(text).requirements())
    if len(found) > REQUIREMENTS_MOST:
        raise _refused(f"a selector has at most {REQUIREMENTS_MOST} requirements")
    if not any(each.operator == "in" for each in found):
        raise _refused(
            "a selector needs at least one = or in; the others only narrow what that finds"
        )
    return found


class _Selector:
    """A selector that is read token by token."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0

    def requirements(self) -> Iterator[Requirement]:
        yield self._requirement()
        while self._next().sign == ",":
            self._at += 1
            yield self._requirement()
        if self._next() != _END:
            raise _refused(f"a comma is missing before {''.join(self._next())}")

    def _requirement(self) -> Requirement:
        key = self._take().word
        if not is_key(key):
            raise _refused(f"{key or 'nothing'} is no key of a label")
        operator = self._next()
        if operator == _END or operator.sign == ",":
            return Requirement(key, "exists")
        self._at += 1
        match operator:
            case _Token("exists", _):
                return Requirement(key, "exists")
            case _Token("in", _):
                return Requirement(key, "in", self._values())
            case _Token("notin", _):
                return Requirement(key, "notin", self._values())
            case _Token(_, "=" | "=="):
                return Requirement(key, "in", (self._value(),))
            case _Token(_, "!="):
                return Requirement(key, "notin", (self._value(),))
            case _:
                raise _refused(f"{''.join(operator)} cannot follow the key {key}")

    def _values(self) -> tuple[str, ...]:
        if self._take().sign != "(":
            raise _refused("in and notin take their values in ( and )")
        values = [self._value()]
        while (sign := self._take().sign) == ",":
            values.append(self._value())
        if sign != ")":
            raise _refused("a ) is missing")
        if len(values) > VALUES_MOST:
            raise _refused(f"a requirement has at most {VALUES_MOST} values")
        return tuple(values)

    def _value(self) -> str:
        """Take a value, which may be empty."""
        if not self._next().word:
            return ""
        value = self._take().word
        if not is_value(value):
            raise _refused(f"{value} is no value of a label")
        return value

    def _next(self) -> _Token:
        return self._tokens[self._at] if self._at < len(self._tokens) else _END

    def _take(self) -> _Token:
        token = self._next()
        self._at += 1
        return token


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise _refused(f"{text[at]!r} cannot be in a selector")
        at = found.end()
        word, sign = found[1] or "", found[2] or ""
        if word or sign:
            yield _Token(word, sign)


def _refused(why: str) -> BadRequest:
    return BadRequest(why, point="select")
