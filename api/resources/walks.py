"""`?after=`: walks through lists, in an order that never changes (`projections.views.walks`)."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from contextlib import suppress
from hashlib import sha256
from typing import NamedTuple

import orjson
from aiohttp import web

from api.http.errors import BadRequest
from api.http.requests import SHORT_LIMIT, owner_of, page
from api.http.responses import WalkMeta
from api.resources.lists import Found
from projections.views.filters import Conditions
from projections.views.snapshot import Snapshot
from projections.views.walks import Key, Walked, is_short

CURSOR_VERSION = "2"
_CURSOR = re.compile(r"(\d+) (.+)")
_PLACE = re.compile(r"([0-9T:.+-]{32}) ([0-9a-f.:-]{2,45}) ([0-9a-f]{16})")
"""When something was created, its uuid or address, and the filters."""


class List(NamedTuple):
    """The list that is walked: what its filters ask for, of one account."""

    kind: Walked
    owner: str
    conditions: Conditions

    @property
    def filters(self) -> str:
        """Return a hash of all that decides what is in the list, in whatever order it is asked."""
        conditions = sorted(
            [condition.lookup, *sorted(set(condition.alternatives))]
            for condition in self.conditions
        )
        return sha256(orjson.dumps([self.kind, self.owner, conditions])).hexdigest()[:16]


class Walk(NamedTuple):
    """A page of up to `limit` objects that follows the key; None is the key before the first."""

    of: List
    limit: int
    key: Key | None

    @property
    def is_short(self) -> bool:
        """Whether it examines no more rows than it shows."""
        return is_short(self.of.kind, self.of.conditions)

    def find(self, snapshot: Snapshot) -> Found:
        """Return what is on the page, and where the next one begins."""
        kind, owner, conditions = self.of
        step = snapshot.walk(kind, owner, conditions, key=self.key, limit=self.limit)
        after = None if step.next is None else cursor_of(step.next, self.of.filters)
        return Found(WalkMeta(self.limit, after), step.uuids)


def walk_asked(request: web.Request, kind: Walked, conditions: Conditions) -> Walk | None:
    """Return the page that `after` asks for; None without `after`. Raise `BadRequest`."""
    given = request.query.getall("after", ())
    if not given:
        return None
    for name in ("offset", "order_by"):
        if name in request.query:
            raise BadRequest(f"with after there is no {name}", point=name)
    limit = page(request).limit
    if not 0 < limit <= SHORT_LIMIT:
        raise BadRequest(f"with after, limit goes from 1 to {SHORT_LIMIT}", point="limit")
    of = List(kind, owner_of(request), conditions)
    return Walk(of, limit, key_of(given[-1], of.filters) if given[-1] else None)


def cursor_of(key: Key, filters: str) -> str:
    """Return the `after` of the page that follows the key, of the list with these filters."""
    text = f"{CURSOR_VERSION} {key.created} {key.uuid} {filters}"
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def key_of(cursor: str, of: str) -> Key:
    """Return the place of a cursor of a list with these filters. Raise `BadRequest`."""
    versioned = _CURSOR.fullmatch(_decoded(cursor))
    if versioned is None:
        raise _refused("after must be what the page before said in next, or empty")
    version, rest = versioned.groups()
    if version != CURSOR_VERSION:
        raise _refused("after is of another version of this service: begin anew with an empty one")
    place = _PLACE.fullmatch(rest)
    if place is None:
        raise _refused("after must be what the page before said in next, or empty")
    created, uuid, filters = place.groups()
    if filters != of:
        raise _refused(
            "after is of a list with other filters: keep them, or begin anew with an empty one"
        )
    return Key(created, uuid)


def _decoded(cursor: str) -> str:
    with suppress(Error, UnicodeError):
        padded = cursor + "=" * (-len(cursor) % 4)
        return urlsafe_b64decode(padded.encode("ascii")).decode("ascii")
    return ""


def _refused(why: str) -> BadRequest:
    return BadRequest(why, point="after")
