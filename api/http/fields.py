"""The fields of bodies: their types, and how those of a request are read.

A struct declares what a body may hold. Clients have more than one way to write it: a null field is
an absent one, an integer may be a text of decimal digits, and an object may stand for its uuid.
Anything else raises `BadRequest`, whose point is the field; in a nested object, the outermost.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, TypeVar, get_type_hints

from msgspec import Meta, Struct, ValidationError, convert, defstruct, inspect

from api.http.errors import BadRequest
from api.text.urls import API_ROOT
from ledger.domain.decisions.naming import NAME_LENGTH

B = TypeVar("B", bound=Struct)

SURROGATES = re.compile("[\ud800-\udfff]")
"""The form of a URL's bytes that are not UTF-8; JSON that holds them is refused as a whole."""
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
TEXT_LENGTH = NAME_LENGTH
"""Characters of any text, names among them."""
META_KEY_LENGTH = 32
META_BYTES = 64 * 1024
"""The most bytes of all names and texts of a `meta` together."""
LIST_LIMIT = 1000
"""Entries of a list within an object."""
DIGITS_LIMIT = 18
"""Digits of a number that is written as a text: what fits into 64 bits."""

NO_NUL = r"^[^\x00]*$"

_DIGITS = re.compile(f"[0-9]{{1,{DIGITS_LIMIT}}}")
_LOWER_UUID = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"


def about(
    description: str,
    *,
    choices: Sequence[str] = (),
    extra: Mapping[str, object] = {},
    **bounds: Any,
) -> Meta:
    """Say what a field is; choices and what is extra are for `/schema/` only."""
    told = {"choices": choices, **extra} if choices else dict(extra)
    return Meta(description=description, extra=told or None, **bounds)


def uri_pattern(below: str = "") -> str:
    """Return the pattern of URIs below this part of the API."""
    return f"^{re.escape(API_ROOT + below)}/.+/$"


# Types. The title of one is the name of its schema in the API's description.

_Unbounded = Annotated[str, Meta(pattern=NO_NUL)]
"""Clients put whole scripts into the values of a `meta`: only all of them together are bounded."""
_Key = Annotated[str, Meta(max_length=META_KEY_LENGTH, pattern=NO_NUL)]

Text = Annotated[str, Meta(title="Text", max_length=TEXT_LENGTH, pattern=NO_NUL)]
TextList = Annotated[tuple[Text, ...], Meta(max_length=LIST_LIMIT)]
Texts = Annotated[dict[_Key, _Unbounded], Meta(title="Meta")]
Uuid = Annotated[str, Meta(title="Uuid", max_length=36, pattern=_LOWER_UUID)]
UuidList = Annotated[tuple[Uuid, ...], Meta(max_length=LIST_LIMIT)]
Time = Annotated[
    str,
    Meta(
        title="Time",
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00$",
        extra={"type": "datetime"},
    ),
]
Uri = Annotated[str, about("Resource URI", pattern=uri_pattern())]


Count = Annotated[int, Meta(ge=0)]


class Representation(Struct, frozen=True, forbid_unknown_fields=True):
    """An object as it is shown: it has all its keys, and no others."""


class Reference(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Names another resource."""

    resource_uri: Uri
    uuid: Annotated[str, about("UUID")]


# What several resources have

ResourceMeta = Annotated[
    Texts,
    about(
        "Texts by name, kept for the client; names have up to 32 characters, all together 64 KiB."
    ),
]
ResourceUri = Annotated[Uri, about("Resource URI.")]
ResourceUuid = Annotated[Uuid, about("UUID of the resource.")]
Owner = Annotated[Reference | None, about("Owner of the resource.")]
Jobs = Annotated[
    tuple[Reference, ...], about("Background jobs related to this resource, oldest first.")
]
Tags = Annotated[tuple[Reference, ...], about("Tags of the resource.")]
GivenTags = Annotated[UuidList, about("Its tags; they replace those that it has.")]
NoReferences = Annotated[tuple[Reference, ...], Meta(max_length=0)]
NoObjects = Annotated[tuple[dict[str, Any], ...], Meta(max_length=0)]
Grantees = Annotated[NoObjects, about("Accounts that were given permissions on this resource.")]
Permissions = Annotated[
    NoObjects, about("Permissions of the caller on a resource of another account.")
]


def make_partial(name: str, kind: type[Struct], **others: object) -> type[Struct]:
    """Make a struct of the same fields and some others, none of which must be given."""
    types: dict[str, Any] = {**get_type_hints(kind, include_extras=True), **others}
    return defstruct(name, [(field, each | None, None) for field, each in types.items()])


# Reading


def decode_fields(values: Mapping[str, object], kind: type[B]) -> B:
    """Read the fields that the struct has; others are ignored."""
    try:
        found = convert(_plain(values, _type_of(kind)), kind)
    except ValidationError as error:
        raise refusal(error, kind) from None
    _check_texts(found)
    return found


_type_of = cache(inspect.type_info)


def _check_texts(found: Struct) -> None:
    """Refuse texts by name that are too long in all."""
    for name in found.__struct_fields__:
        texts = getattr(found, name)
        if isinstance(texts, dict) and sum(map(_bytes, (*texts, *texts.values()))) > META_BYTES:
            raise BadRequest(f"{name} may have at most {META_BYTES:,} bytes", point=name)


def _bytes(text: str) -> int:
    return len(text.encode())


def _plain(value: object, kind: inspect.Type) -> object:
    """Put a value into the one form that its type has; text that is no Unicode becomes bytes."""
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
        case inspect.DictType() if isinstance(value, dict):
            return {key: _plain(each, kind.value_type) for key, each in value.items()}
        case inspect.StrType(pattern=pattern) if pattern == _LOWER_UUID:
            # Without a uuid it stays what it is, and is refused: None would be no value at all.
            named = value.get("uuid", value) if isinstance(value, dict) else value
            return named.lower() if isinstance(named, str) else value
        case _ if isinstance(value, str) and SURROGATES.search(value):
            return value.encode(errors="surrogatepass")
    return value


# Faults, which msgspec tells of in its own words: what is wrong, then where.

_FAULT = re.compile(r"(.*?)(?: - at (`key` in )?`\$\.?([^`]*)`)?", re.DOTALL)
_VALUE = re.compile(r"(.*)\[\.\.\.\]")
_ABSENT = re.compile("Object missing required field `(.*)`")
_WORDS = {
    r"Expected `str( \| null)?`, got .*": "must be a text",
    r"Expected `int( \| null)?`, got .*": "must be an integer",
    r"Expected `bool( \| null)?`, got .*": "must be true or false",
    r"Expected `array( \| null)?`, got .*": "must be a list",
    r"Expected `object( \| null)?`, got .*": "must be an object",
    r"Expected `bool \| int \| float \| str \| null`, got .*": (
        "must be a text, a number, true, false or null"
    ),
    r"Expected `int` >= (.*)": r"must be at least \1",
    r"Expected `int` <= (.*)": r"must be at most \1",
    r"Expected `str` of length >= (.*)": r"must have at least \1 characters",
    r"Expected `str` of length <= (.*)": r"may have at most \1 characters",
    r"Expected `array` of length <= (.*)": r"may have at most \1 entries",
    f"Expected `str` matching regex {re.escape(repr(NO_NUL))}": "must not hold a NUL",
    f"Expected `str` matching regex {re.escape(repr(_LOWER_UUID))}": "must be a uuid",
    r"Expected `str` matching regex (.*)": r"must be like \1",
}


def refusal(error: ValidationError, struct: type[Struct]) -> BadRequest:
    """Tell of a fault, without what the client said."""
    found, kind = _FAULT.fullmatch(str(error)), _type_of(struct)
    assert found is not None, error
    what, key, path = found[1], found[2] or "", found[3] or ""
    absent = _ABSENT.fullmatch(what)
    if absent:
        what, path = "is required", f"{path}.{absent[1]}".lstrip(".")
    elif what.startswith("Invalid enum value"):
        what = f"must be one of {', '.join(_choices(kind, path))}"
    place = f"a key of {path}" if key else _VALUE.sub(r"a value of \1", path)
    return BadRequest(f"{place} {_in_our_words(what)}", point=re.split(r"\W", path)[0])


def _in_our_words(what: str) -> str:
    for theirs, ours in _WORDS.items():
        found = re.fullmatch(theirs, what)
        if found:
            return found.expand(ours)
    return what


def _choices(kind: inspect.Type, path: str) -> Iterator[str]:
    """Yield the allowed values at a place within the type."""
    for name in re.findall(r"(?:^|\.)(\w+)", path):
        struct = _bare(kind)
        assert isinstance(struct, inspect.StructType)
        kind = next(field.type for field in struct.fields if field.encode_name == name)
    yield from _literals(_bare(kind))


def _literals(kind: inspect.Type) -> Iterator[str]:
    """Yield the values of a type that has no others, but for null."""
    match kind:
        case inspect.LiteralType():
            yield from map(str, kind.values)
        case inspect.UnionType():
            for each in kind.types:
                yield from _literals(_bare(each))
        case _:
            assert isinstance(kind, inspect.NoneType)


def _bare(kind: inspect.Type) -> inspect.Type:
    """The type, or that of a list's entries, without what is said about it."""
    match kind:
        case inspect.Metadata():
            return _bare(kind.type)
        case inspect.UnionType(types=(inner, inspect.NoneType())):
            return _bare(inner)
        case inspect.VarTupleType():
            return _bare(kind.item_type)
        case _:
            return kind
