"""The fields of bodies: their types, and how those of a request are read.

A struct says what a body may hold. Clients may say it in more than one way: a field that is null is
not given, an integer may be written in decimal digits, and an object may stand for the uuid that it
has. What cannot be taken raises `BadRequest` with the field as its point; inside a nested object,
the outermost one.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, TypeVar, get_type_hints

from msgspec import Meta, Struct, ValidationError, convert, defstruct, inspect

from api.http.errors import BadRequest
from ledger.domain.decisions.naming import NAME_LENGTH
from ledger.domain.events import Scalar

B = TypeVar("B", bound=Struct)
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

_DIGITS = re.compile(f"[0-9]{{1,{DIGITS_LIMIT}}}")
_NO_NUL = r"^[^\x00]*$"
_LOWER_UUID = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"


# Types. The title of one is the name of its schema in the API's description.

_Unbounded = Annotated[str, Meta(pattern=_NO_NUL)]
"""Clients put whole scripts into the values of a `meta`: only the body bounds their length."""
_Key = Annotated[str, Meta(max_length=META_KEY_LENGTH, pattern=_NO_NUL)]

Text = Annotated[str, Meta(title="Text", max_length=TEXT_LENGTH, pattern=_NO_NUL)]
TextList = Annotated[tuple[Text, ...], Meta(max_length=LIST_LIMIT)]
Texts = Annotated[dict[_Key, _Unbounded], Meta(title="Meta")]
Uuid = Annotated[str, Meta(title="Uuid", max_length=36, pattern=_LOWER_UUID)]
UuidList = Annotated[tuple[Uuid, ...], Meta(max_length=LIST_LIMIT)]


class Reference(Struct, frozen=True, forbid_unknown_fields=True):
    """Names another resource."""

    resource_uri: Annotated[str, Meta(pattern=r"^/api/2\.0/.+/$", description="Resource URI")]
    uuid: Annotated[str, Meta(description="UUID")]


# What several resources have

ResourceMeta = Annotated[
    Texts,
    Meta(description="Texts by name, kept for the client; names have up to 32 characters."),
]
ResourceUri = Annotated[str, Meta(pattern=r"^/api/2\.0/.+/$", description="Resource URI.")]
ResourceUuid = Annotated[Uuid, Meta(description="UUID of the resource.")]
Owner = Annotated[Reference | None, Meta(description="Owner of the resource.")]
Jobs = Annotated[
    tuple[Reference, ...],
    Meta(description="Background jobs related to this resource, oldest first."),
]
Tags = Annotated[tuple[Reference, ...], Meta(description="Tags of the resource.")]
NoReferences = Annotated[tuple[Reference, ...], Meta(max_length=0)]
NoObjects = Annotated[tuple[dict[str, Any], ...], Meta(max_length=0)]
Grantees = Annotated[
    NoObjects, Meta(description="Accounts that were given permissions on this resource.")
]
Permissions = Annotated[
    NoObjects, Meta(description="Permissions of the caller on a resource of another account.")
]


def optional(
    name: str, kind: type[Struct], *, but: Collection[str] = (), **others: object
) -> type[Struct]:
    """Make a struct of the same fields and others, none of which must be given."""
    types: dict[str, Any] = {**get_type_hints(kind, include_extras=True), **others}
    fields = [(field, each | None, None) for field, each in types.items() if field not in but]
    return defstruct(name, fields)


# Reading


def decode_fields(values: Mapping[str, object], kind: type[B]) -> B:
    """Read the fields that the struct has; others are ignored."""
    try:
        return convert(_plain(values, _type_of(kind)), kind)
    except ValidationError as error:
        raise _refusal(str(error)) from None


_type_of = cache(inspect.type_info)


def _plain(value: object, kind: inspect.Type) -> object:
    """The value in the one form that the type knows."""
    match kind:
        case inspect.Metadata():
            return _plain(value, kind.type)
        case inspect.UnionType(types=(inner, inspect.NoneType())):
            return _plain(value, inner)
        case inspect.StructType() if isinstance(value, Mapping):
            given = [(field, value.get(field.encode_name)) for field in kind.fields]
            return {
                field.encode_name: _plain(each, field.type)
                for field, each in given
                if each is not None
            }
        case inspect.VarTupleType() if isinstance(value, list):
            return [_plain(each, kind.item_type) for each in value]
        case inspect.IntType() if isinstance(value, str) and _DIGITS.fullmatch(value):
            return int(value)
        case inspect.StrType(pattern=pattern) if pattern == _LOWER_UUID:
            named = value.get("uuid") if isinstance(value, dict) else value
            return named.lower() if isinstance(named, str) else named
    return value


_FAULT = re.compile(r"(.*?)(?: - at `(?:key` in `)?\$\.?([^`]*)`)?", re.DOTALL)
_ABSENT = re.compile("Object missing required field `(.*)`")
_WORDS = {
    "Expected ": "must be ",
    f" matching regex {_LOWER_UUID!r}": " that is a uuid",
    f" matching regex {_NO_NUL!r}": " without NUL",
}


def _refusal(told: str) -> BadRequest:
    """What msgspec says of a fault, in the words of this API."""
    found = _FAULT.fullmatch(told)
    assert found is not None, told
    what, path = found[1], found[2] or ""
    absent = _ABSENT.fullmatch(what)
    if absent:
        path, what = f"{path}.{absent[1]}".lstrip("."), "is required"
    if what.startswith("Invalid enum value"):
        what = "must be one of its choices"
    for theirs, ours in _WORDS.items():
        what = what.replace(theirs, ours)
    return BadRequest(f"{path} {what}", point=re.split(r"\W", path)[0])


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
