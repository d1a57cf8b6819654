"""Request bodies, read strictly: unknown fields are refused, unless the client wants them ignored.

A struct declares what a body may hold. What a program says of its own failure must not be lost
because of what is in it, so invalid Unicode is mended, and so are numbers that JSON lacks.
"""

import json
import math
import re
from collections.abc import Iterator
from functools import cache
from typing import Generic, TypeVar

import orjson
from aiohttp import web
from msgspec import UNSET, Struct, UnsetType, ValidationError, convert, inspect

from api.http.errors import BadRequest, RequestRefused, TooLong
from api.http.fields import SURROGATES, refusal
from api.http.requests import BODY
from api.http.wire.bodies import media_type, read_body
from api.v1.problems import Problem
from ledger.domain.producers.texts import CUT

B = TypeVar("B", bound=Struct)

KIB = 1024
REGISTRATION_BYTES = 32 * KIB
REPORT_BYTES = 8 * KIB
END_BYTES = 72 * KIB
SMALL_BYTES = 8 * KIB
"""The longest body of any other request."""
LEVELS_MOST = 100
"""Arrays and objects within each other that are kept of any JSON."""
INTEGER_MOST = 2.0**63
UNKNOWN_TOLD = 100
"""How many unknown fields an answer names."""
# Not control characters, nor those that change the direction or the lines of a text.
ONE_LINE = "^[^\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]*$"
REPLACEMENT = "\ufffd"

_LENIENT = re.compile(r'(?:^|[,;])\s*handling\s*=\s*"?lenient"?\s*(?:$|[,;])', re.IGNORECASE)


class Given(Struct, Generic[B], frozen=True):
    """What a body says, and the fields of it that were ignored."""

    body: B
    ignored: tuple[str, ...] = ()

    @property
    def told(self) -> tuple[str, ...] | UnsetType:
        """What the answer says of them."""
        return self.ignored or UNSET


class Strict(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """An object that clients send: it has these fields and no others."""


async def read_strictly(request: web.Request, kind: type[B], *, most: int) -> Given[B]:
    """Read a body that is one object of at most so many bytes; none is an empty object.

    Raise `TooLong`, or the problem `unknown-field` or `bad-value`.
    """
    return decode_strictly(await read_value(request, most=most), kind, lenient=is_lenient(request))


async def read_value(request: web.Request, *, most: int) -> object:
    """Read a body as JSON; none is an empty object."""
    body = request.get(BODY)
    if body is None:
        body = await read_body(request, inflated=True, most=most)
    if len(body) > most:
        raise TooLong(most)
    if not body.strip():
        return {}
    if media_type(request) not in ("", "application/json"):
        raise RequestRefused(415, "the request body must be application/json")
    return parse(body)


def is_lenient(request: web.Request) -> bool:
    """Return whether the client wants unknown fields to be ignored (RFC 7240)."""
    return _LENIENT.search(",".join(request.headers.getall("Prefer", ()))) is not None


def decode_strictly(value: object, kind: type[B], *, lenient: bool) -> Given[B]:
    """Read an object. Raise the problem `unknown-field` or `bad-value`."""
    if not isinstance(value, dict):
        raise BadRequest("the request body must be a JSON object")
    unknown = list(_take_unknown(value, _type_of(kind), ""))
    if unknown and not lenient:
        told = f"unknown fields: {', '.join(unknown[:UNKNOWN_TOLD])}"
        raise Problem("unknown-field", told, {"unknown": unknown[:UNKNOWN_TOLD]})
    try:
        return Given(convert(value, kind), tuple(unknown[:UNKNOWN_TOLD]))
    except ValidationError as error:
        raise _bad_value(error, kind) from None


_PLACE = re.compile(r" - at `(?:key` in `)?\$\.?([^`]*)`$")
_INDEX = re.compile(r"\[[0-9.]*\]")
_MISSING = re.compile("missing required field `([^`]+)`")


def _bad_value(error: ValidationError, kind: type[Struct]) -> Problem:
    """Return the problem of a value, with the path to its field."""
    told, where = str(error), _PLACE.search(str(error))
    path, missing = where[1] if where else "", _MISSING.search(told)
    if missing:
        path = f"{path}.{missing[1]}".lstrip(".")
    said = str(refusal(error, kind))
    if ONE_LINE in told:
        said = f"{path} must be one line without control or bidirectional characters"
    return Problem("bad-value", said, {"field": _INDEX.sub("", path)})


_type_of = cache(inspect.type_info)


def _take_unknown(value: object, kind: inspect.Type, path: str) -> Iterator[str]:
    """Remove the fields that nobody knows, and yield the path to each."""
    match kind:
        case inspect.Metadata():
            yield from _take_unknown(value, kind.type, path)
        case inspect.UnionType():
            for each in kind.types:
                yield from _take_unknown(value, each, path)
        case inspect.StructType() if isinstance(value, dict):
            types = {field.encode_name: field.type for field in kind.fields}
            for name in list(value):
                if name in types:
                    yield from _take_unknown(value[name], types[name], f"{path}{name}.")
                else:
                    del value[name]
                    yield f"{path}{name}"
        case inspect.VarTupleType() if isinstance(value, list):
            for nth, each in enumerate(value):
                yield from _take_unknown(each, kind.item_type, f"{path}{nth}.")
        case _:
            return


# JSON, and what is nearly JSON


def parse(body: bytes) -> object:
    """Parse JSON; text in it that is no Unicode, and numbers that are none, are mended."""
    try:
        value: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _mended(body)
    return value


def _mended(body: bytes) -> object:
    """Parse what strict readers refuse: lone surrogates, bytes that are not UTF-8, and NaN."""
    try:
        value = json.loads(body.decode("utf-8", "replace"), parse_int=_number)
        return _without_surrogates(value)
    except (ValueError, RecursionError):
        raise BadRequest("the request body is not valid JSON") from None


def _number(digits: str) -> float:
    """Read an integer; one that does not fit into 64 bits as the strict reader does."""
    number = float(digits)
    return int(digits) if abs(number) < INTEGER_MOST else number


def _without_surrogates(value: object, levels: int = LEVELS_MOST) -> object:
    match value:
        case str():
            return SURROGATES.sub(REPLACEMENT, value)
        case list() | dict() if not levels:
            return CUT
        case list():
            return [_without_surrogates(each, levels - 1) for each in value]
        case dict():
            return {
                SURROGATES.sub(REPLACEMENT, key): _without_surrogates(each, levels - 1)
                for key, each in value.items()
            }
        case _:
            return value


def writable(value: object, levels: int = LEVELS_MOST) -> object:
    """Return a value of JSON that can be written again.

    Numbers that JSON has not become null, and what lies too deep is cut.
    """
    match value:
        case float() if not math.isfinite(value):
            return None
        case list() | dict() if not levels:
            return CUT
        case list():
            return [writable(each, levels - 1) for each in value]
        case dict():
            return {key: writable(each, levels - 1) for key, each in value.items()}
        case _:
            return value
