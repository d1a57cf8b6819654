"""Reading requests: bodies and query parameters, bounded and checked before anything changes."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import NamedTuple

import orjson
from aiohttp import hdrs, web
from msgspec import Struct

from api.accounts.grants import Grant
from api.http.errors import BadRequest, RequestRefused
from api.http.fields import DIGITS_LIMIT, SURROGATES, UUID, B, Uuid, UuidList, decode_fields
from api.http.not_applied import note_not_applied
from api.http.wire.bodies import media_type, read_body
from api.text.iso8601 import EXAMPLE, moment
from ledger.domain.errors import NotFound
from ledger.store.writer import Caller
from projections.tables import fold_case
from projections.views.filters import Condition, Lookup, Order

CALLER = web.RequestKey("caller", Caller)
"""The caller, set by the middleware.

Staff who look at another account (`api.http.permissions.staff_access`) read as that account.
"""
ASKING = web.RequestKey("asking", str)
"""The account that asks, whose budgets are spent (`api.service.admission`); set by the middleware.

It is not the caller where staff look at another account.
"""
GRANT = web.RequestKey("grant", Grant)
"""What the caller may do, set by the middleware where a URL is not public."""
POSITION = web.RequestKey("position", int)
"""A position of the ledger that the answer is at least as new as.

The middleware sets the one before anything is read; a command sets its own.
"""
NEW_ID: web.RequestKey[Callable[[], str]] = web.RequestKey("new-id")
"""Draws the uuids of what the request makes."""
BODY = web.RequestKey("body", bytes)
"""Set if the body has been read."""
ANONYMOUS = "anonymous"
"""The actor of a request to a public URL. No account has it, so it owns nothing."""

BULK_LIMIT = 200
"""Objects in one request."""
DEFAULT_LIMIT = 20
SHORT_LIMIT = 200
"""Objects of a list that is read in the event loop's thread; longer lists are streamed."""
AVOID_LIMIT = 100
ALTERNATIVES_LIMIT = 500
CONDITIONS_LIMIT = 100
"""Filters of one request. SQLite nests what is joined by AND or OR, up to a thousand deep."""
PARTS_LIMIT = 5
"""Parts of names in one request: all names are read for each of them."""
"""Digits of a number in the query: what fits into 64 bits."""

# One token each: whatever does not match is never looked at twice, however long it is.
_TOKENS = re.compile(r"(?P<backslashes>\\*+),|\\++|[^\\,]++")


# Bodies


def owner_of(request: web.Request) -> str:
    """Return the account whose things the request is about.

    It is the caller's own, or the one that staff name with `?owner=`.
    """
    return request[CALLER].actor


async def read_json(request: web.Request) -> object:
    """Read the body as JSON; no body and `null` are an empty object."""
    body = request.get(BODY)
    if body is None:
        body = await read_body(request, inflated=owner_of(request) != ANONYMOUS)
    if not body.strip():
        return {}
    if hdrs.CONTENT_TYPE in request.headers and media_type(request) != "application/json":
        raise RequestRefused(415, "the request body must be application/json")
    try:
        value: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadRequest("request body is not valid JSON") from None
    return {} if value is None else value


# Fields that the struct has not are ignored, and the answer names them, but for those of `shown`:
# that is how the same thing is shown, and a client may send all of it back.


async def read_object(request: web.Request, kind: type[B], shown: type[Struct] | None = None) -> B:
    """Read a body that is one object."""
    return _decode(request, await read_fields(request), kind, shown)


async def check_object(request: web.Request) -> None:
    """Read the body of an action whose fields do not matter."""
    note_not_applied(request, _given(await read_fields(request)))


async def read_fields(request: web.Request) -> dict[str, object]:
    """Read a body that is one object, whatever it has."""
    value = await read_json(request)
    if not isinstance(value, dict):
        raise BadRequest("the request body must be a JSON object")
    return value


async def read_objects(request: web.Request, kind: type[B], shown: type[Struct]) -> list[B]:
    """Read a body that is one bare object, a list of objects or `{"objects": [..]}`."""
    values = await _read_list(request)
    return [_decode(request, _object(value), kind, shown) for value in values]


async def read_edits(request: web.Request, kind: type[B], shown: type[Struct]) -> dict[str, B]:
    """Read a body of changes of several objects, by the uuid of each."""
    edits: dict[str, B] = {}
    for value in map(_object, await _read_list(request)):
        uuid = decode_fields(value, _Named).uuid
        if uuid in edits:
            raise BadRequest("objects must not name one twice", point="objects")
        edits[uuid] = _decode(request, value, kind, shown)
    return edits


async def read_references(request: web.Request) -> tuple[str, ...]:
    """Read the uuids of a body of references, in any form of list and of reference."""
    return decode_fields({"objects": await _read_list(request)}, _References).objects


async def _read_list(request: web.Request) -> list[object]:
    value = await read_json(request)
    if isinstance(value, dict):
        value = value.get("objects", [value])
    if not isinstance(value, list):
        raise BadRequest("objects must be a list", point="objects")
    if not 0 < len(value) <= BULK_LIMIT:
        raise BadRequest(f"objects must be 1 to {BULK_LIMIT} objects", point="objects")
    return value


def _object(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise BadRequest("objects must hold JSON objects", point="objects")
    return value


def _decode(
    request: web.Request, value: dict[str, object], kind: type[B], shown: type[Struct] | None
) -> B:
    found = decode_fields(value, kind)
    known = _names(kind) if shown is None else _names(kind) | _names(shown)
    note_not_applied(request, (name for name in _given(value) if name not in known))
    return found


def _given(value: Mapping[str, object]) -> list[str]:
    """Return the fields of an object; a null one is an absent one."""
    return [name for name, given in value.items() if given is not None]


@cache
def _names(kind: type[Struct]) -> frozenset[str]:
    return frozenset(kind.__struct_encode_fields__)


class _Named(Struct):
    uuid: Uuid


class _References(Struct):
    objects: UuidList


# The URL


def uuid_in_url(request: web.Request, missing: Callable[[str], NotFound]) -> str:
    """Return the uuid in the URL. Raise `missing` if it cannot be one."""
    text = request.match_info["uuid"]
    if not UUID.fullmatch(text):
        raise missing(text)
    return text.lower()


class Page(NamedTuple):
    """The requested part of a list; a limit of 0 is no limit."""

    limit: int
    offset: int

    def is_short(self, total: int) -> bool:
        """Return whether a page of a list of `total` objects is read in the event loop's thread."""
        return min(self.limit or total, total - self.offset) <= SHORT_LIMIT

    @property
    def bounds(self) -> slice:
        """Return the page as a slice of the whole list."""
        return slice(self.offset, self.offset + self.limit if self.limit else None)

    @property
    def sql_limit(self) -> int:
        """Return the limit for SQL, where a negative one is none."""
        return self.limit or -1


def page(request: web.Request) -> Page:
    return Page(_count(request, "limit", DEFAULT_LIMIT), _count(request, "offset", 0))


def _count(request: web.Request, name: str, default: int) -> int:
    return number(request, name) if name in request.query else default


def number(request: web.Request, name: str, default: int | None = None) -> int:
    """Return the last number of this name. Raise `BadRequest`, also without a default."""
    texts = request.query.getall(name, ())
    if not texts and default is not None:
        return default
    if not texts:
        raise BadRequest(f"{name} is missing", point=name)
    text = texts[-1]
    if not (text.isascii() and text.isdigit() and len(text) <= DIGITS_LIMIT):
        raise BadRequest(f"{name} must be a number from 0 up, of {DIGITS_LIMIT} digits", point=name)
    return int(text)


def read_time(text: str, name: str) -> datetime:
    """Return the time that a parameter of this name gives. Raise `BadRequest`."""
    found = moment(text)
    if found is None:
        raise BadRequest(f"{name} must be a time with its offset, such as {EXAMPLE}", point=name)
    return found


def shown_fields(request: web.Request) -> frozenset[str] | None:
    """Return the keys that each object of a list is to have; None for all."""
    given = request.query.getall("fields", ())
    names = frozenset(name.strip() for text in given for name in text.split(","))
    return names - {""} or None


def order_by(request: web.Request, fields: Sequence[str]) -> list[Order]:
    """Return what a list is to be ordered by, the first above all. Raise `BadRequest`."""
    given = request.query.getall("order_by", ())
    names = [name.strip() for text in given for name in text.split(",")]
    order = [Order(name.removeprefix("-"), name.startswith("-")) for name in names if name]
    asked = [by.field for by in order]
    if not set(asked) <= set(fields) or len(set(asked)) < len(asked):
        told = f"order_by takes {', '.join(fields)}, each once, and - before what is to be reversed"
        raise BadRequest(told, point="order_by")
    return order


def avoided(request: web.Request) -> tuple[str, ...]:
    """Return the uuids of `?avoid=`, the most important first. Raise `BadRequest` for others."""
    texts = [part for text in request.query.getall("avoid", ()) for part in text.split(",")]
    uuids = [text.strip().lower() for text in texts if text.strip()]
    if len(uuids) > AVOID_LIMIT or not all(map(UUID.fullmatch, uuids)):
        raise BadRequest(f"avoid must be uuids, {AVOID_LIMIT} at the most", point="avoid")
    return tuple(uuids)


def conditions(request: web.Request, filters: Mapping[str, Lookup]) -> list[Condition]:
    """Return the conditions of a list's filters; all of them must hold."""
    asked = [(name, text) for name in filters for text in request.query.getall(name, ())]
    for name, _ in asked[CONDITIONS_LIMIT:]:
        raise BadRequest(f"there are more than {CONDITIONS_LIMIT} filters", point=name)
    found = [_condition(filters[name], _checked_alternatives(text, name)) for name, text in asked]
    check_parts(
        [
            name
            for (name, _), each in zip(asked, found, strict=True)
            if each.lookup == "name_contains"
            for _ in each.alternatives
        ]
    )
    return found


def check_parts(filters: Sequence[str]) -> None:
    """Raise `BadRequest` for too many parts of names, given the filter that looks for each."""
    for name in filters[PARTS_LIMIT:]:
        raise BadRequest(f"{name} looks for {PARTS_LIMIT} parts at the most", point=name)


def _condition(lookup: Lookup, wanted: Sequence[str]) -> Condition:
    """Lower the case of uuids, which does not matter in URLs either, and fold parts of names."""
    if lookup in ("uuid", "tag", "resource"):
        wanted = [text.lower() for text in wanted]
    elif lookup == "name_contains":
        wanted = [fold_case(text) for text in wanted]
    return Condition(lookup, tuple(wanted))


def _checked_alternatives(text: str, name: str) -> list[str]:
    found = alternatives(text)
    if SURROGATES.search(text) or "\0" in text:
        raise BadRequest(f"{name} must be Unicode text without NUL", point=name)
    if len(found) > ALTERNATIVES_LIMIT:
        raise BadRequest(f"{name} has more than {ALTERNATIVES_LIMIT} alternatives", point=name)
    return found


def filter_values(request: web.Request, name: str) -> list[str] | None:
    """Return the values that a field may have by the filter of its name; None for any.

    A comma separates alternatives; a repeated parameter narrows down further.
    """
    given = request.query.getall(name, ())
    if not given:
        return None
    if any(SURROGATES.search(text) for text in given):
        raise BadRequest(f"{name} must be Unicode text", point=name)
    return sorted(frozenset.intersection(*(frozenset(alternatives(text)) for text in given)))


def alternatives(text: str) -> list[str]:
    r"""Split at commas. `\,` is a comma in a part, `\\,` a backslash at its end."""
    parts: list[list[str]] = [[]]
    for token in _TOKENS.finditer(text):
        backslashes = token["backslashes"]
        if backslashes is None:
            parts[-1].append(token[0])
            continue
        parts[-1].append("\\" * (len(backslashes) // 2))
        if len(backslashes) % 2:
            parts[-1].append(",")
        else:
            parts.append([])
    return ["".join(part) for part in parts]
