"""Reading an object of a request's body, field by field, into checked Python values.

A field that is absent or null is not given, and then its default is returned as it is. What cannot
be taken raises `BadRequest` with the field as its point; inside a nested object, the outermost one.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from api.http.errors import BadRequest
from ledger.domain.decisions.naming import NAME_LENGTH
from ledger.domain.events import Scalar

D = TypeVar("D")
T = TypeVar("T", bound=str)

SURROGATES = re.compile("[\ud800-\udfff]")
"""What a URL's bytes become that are no UTF-8; JSON that holds such is refused as a whole."""
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
TEXT_LENGTH = NAME_LENGTH
"""Characters of any text, names among them."""
META_KEY_LENGTH = 32
LIST_LIMIT = 1000
"""Entries of a list within an object."""
DIGITS_LIMIT = 18
"""Digits of a number that is written as a text: what fits into 64 bits."""


class Fields:
    """The fields of one object; those that nobody asks for are ignored."""

    def __init__(
        self, values: Mapping[str, object], *, point: str | None = None, path: str = ""
    ) -> None:
        self._values = values
        self._point = point
        self._path = path

    def wrong(self, name: str, what: str, *, at: str = "") -> BadRequest:
        """The error for a field; `at` says where in it."""
        return BadRequest(f"{self._path}{name}{at} {what}", point=self._point or name)

    def require(self, *names: str) -> None:
        for name in names:
            if self._values.get(name) is None:
                raise self.wrong(name, "is required")

    def text(self, name: str, default: D, *, most: int = TEXT_LENGTH) -> str | D:
        value = self._values.get(name)
        return default if value is None else self._text(name, value, most=most)

    def one_of(self, name: str, choices: Sequence[T], default: D) -> T | D:
        value = self._values.get(name)
        if value is None:
            return default
        for choice in choices:
            if choice == value:
                return choice
        raise self.wrong(name, f"must be one of {', '.join(choices)}")

    def flag(self, name: str, default: D) -> bool | D:
        value = self._values.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.wrong(name, "must be true or false")
        return value

    def whole(self, name: str, default: D, *, least: int, most: int) -> int | D:
        """An integer, or one written in decimal digits."""
        value = self._values.get(name)
        if value is None:
            return default
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value) if len(value) <= DIGITS_LIMIT else most + 1
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.wrong(name, "must be an integer")
        if not least <= value <= most:
            raise self.wrong(name, f"must be from {least} to {most}")
        return value

    def meta(self, name: str, default: D) -> dict[str, str] | D:
        value = self._values.get(name)
        if value is None:
            return default
        meta = self._object(name, value)
        for key in meta:
            if len(key) > META_KEY_LENGTH or "\0" in key:
                raise self.wrong(name, f"keys have up to {META_KEY_LENGTH} characters, none a NUL")
        # The length of a value has no bound but the body's: clients put whole scripts there.
        return {
            key: self._text(name, entry, at=f".{key}", most=None) for key, entry in meta.items()
        }

    def texts(self, name: str, default: D) -> tuple[str, ...] | D:
        entries = self._entries(name)
        if entries is None:
            return default
        return tuple(self._text(name, entry, at=at) for at, entry in entries)

    def address(self, name: str, default: D) -> str | D:
        """What a reference names, in either form: a text, or an object with it as `uuid`."""
        value = self._values.get(name)
        return default if value is None else self._address(name, value)

    def reference(self, name: str, default: D) -> str | D:
        """The uuid that a reference names, in either form."""
        value = self._values.get(name)
        return default if value is None else self._uuid(name, value)

    def references(self, name: str, default: D) -> tuple[str, ...] | D:
        entries = self._entries(name)
        if entries is None:
            return default
        return tuple(self._uuid(name, entry, at) for at, entry in entries)

    def item(self, name: str) -> "Fields | None":
        """A nested object."""
        value = self._values.get(name)
        return None if value is None else self._nested(name, value, "")

    def items(self, name: str) -> "list[Fields] | None":
        """The objects of a list."""
        entries = self._entries(name)
        return None if entries is None else [self._nested(name, each, at) for at, each in entries]

    def scalars(self) -> dict[str, Scalar]:
        """All fields, none of which may be nested."""
        checked: dict[str, Scalar] = {}
        for name, value in self._values.items():
            if value is not None and not isinstance(value, str | int | float | bool):
                raise self.wrong(name, "must be a text, a number, true, false or null")
            checked[name] = self._text(name, value) if isinstance(value, str) else value
        return checked

    def _entries(self, name: str) -> Iterator[tuple[str, object]] | None:
        """The entries of a list, each with its place in the field."""
        value = self._values.get(name)
        if value is None:
            return None
        if not isinstance(value, list):
            raise self.wrong(name, "must be a list")
        if len(value) > LIST_LIMIT:
            raise self.wrong(name, f"may have {LIST_LIMIT} entries at the most")
        return ((f"[{place}]", entry) for place, entry in enumerate(value))

    def _nested(self, name: str, value: object, at: str) -> "Fields":
        values = self._object(name, value, at)
        return Fields(values, point=self._point or name, path=f"{self._path}{name}{at}.")

    def _object(self, name: str, value: object, at: str = "") -> dict[str, object]:
        if not isinstance(value, dict):
            raise self.wrong(name, "must be an object", at=at)
        return value

    def _text(
        self, name: str, value: object, *, at: str = "", most: int | None = TEXT_LENGTH
    ) -> str:
        if not isinstance(value, str):
            raise self.wrong(name, "must be a text", at=at)
        if "\0" in value:
            raise self.wrong(name, "must not hold a NUL", at=at)
        if SURROGATES.search(value):
            raise self.wrong(name, "must be Unicode text", at=at)
        if most is not None and len(value) > most:
            raise self.wrong(name, f"may have {most} characters at the most", at=at)
        return value

    def _address(self, name: str, value: object, at: str = "") -> str:
        if isinstance(value, dict):
            value = value.get("uuid")
        return self._text(name, value, at=at)

    def _uuid(self, name: str, value: object, at: str = "") -> str:
        text = self._address(name, value, at)
        if not UUID.fullmatch(text):
            raise self.wrong(name, "must be a uuid", at=at)
        return text.lower()
