"""Lists of jobs: which jobs are asked for, and where in the list a page by key goes on."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from aiohttp import web

from api.http.errors import BadRequest
from api.http.requests import SHORT_LIMIT, conditions, filter_values, page
from api.http.responses import JsonObject, json_answer
from api.text.iso8601 import EXAMPLE, moment
from projections.rows import timestamp
from projections.views.filters import Condition, Lookup
from projections.views.jobs import JobKey, key_of
from projections.views.read_models import JobTree

_FILTERS: dict[str, Lookup] = {"operation": "operation", "resource": "resource"}
_TIMES: dict[str, Lookup] = {
    "last_modified__gte": "modified_from",
    "last_modified__lt": "modified_before",
}
_KEY = re.compile(r"([0-9T:.+-]{32}) ([0-9a-f-]{36})")


class WantedJobs(NamedTuple):
    """What the filters of a list ask for; `states` None is any."""

    states: Sequence[str] | None
    conditions: tuple[Condition, ...]

    @property
    def are_indexed(self) -> bool:
        """Whether an index leads to them: else all of the account's jobs may be gone through."""
        searched = any(each.lookup == "operation" for each in self.conditions)
        return not searched and (self.states is None or len(self.states) <= 1)


def wanted_jobs(request: web.Request) -> WantedJobs:
    """Raises `BadRequest` for a filter that makes no sense."""
    found = conditions(request, _FILTERS)
    found += [
        Condition(lookup, (_time(text, name),))
        for name, lookup in _TIMES.items()
        for text in request.query.getall(name, ())
    ]
    return WantedJobs(filter_values(request, "state"), tuple(found))


def _time(text: str, name: str) -> str:
    found = moment(text)
    if found is None:
        raise BadRequest(f"{name} must be a time with its offset, such as {EXAMPLE}", point=name)
    return timestamp(found)


class KeyPage(NamedTuple):
    """So many jobs behind that place in the list; None: from its beginning."""

    limit: int
    key: JobKey | None


def key_page(request: web.Request) -> KeyPage | None:
    """The page that `after` asks for; None if it is not there. Raises `BadRequest`."""
    given = request.query.getall("after", ())
    if not given:
        return None
    if "offset" in request.query:
        raise BadRequest("with after there is no offset", point="offset")
    limit = page(request).limit
    if not 0 < limit <= SHORT_LIMIT:
        raise BadRequest(f"with after, limit goes from 1 to {SHORT_LIMIT}", point="limit")
    return KeyPage(limit, _key(given[-1]) if given[-1] else None)


def key_answer(
    asked: KeyPage, found: Sequence[JobTree], shown: Sequence[JsonObject]
) -> web.Response:
    """The page, out of one job more than it has, which tells whether there are more."""
    more = len(found) > asked.limit
    meta = {
        "limit": asked.limit,
        "next": cursor_of(key_of(found[asked.limit - 1])) if more else None,
    }
    return json_answer({"meta": meta, "objects": shown[: asked.limit]})


def refuse_in_the_past(request: web.Request) -> None:
    """Raises `BadRequest` for what a list as of an earlier moment does not offer."""
    for name in ("after", *_FILTERS, *_TIMES):
        if name in request.query:
            raise BadRequest(f"with as_of, {name} is not offered", point=name)


def cursor_of(key: JobKey) -> str:
    """What `after` is for the page behind that place in the list."""
    return urlsafe_b64encode(" ".join(key).encode()).decode().rstrip("=")


def _key(cursor: str) -> JobKey:
    with suppress(Error, UnicodeError):
        padded = cursor + "=" * (-len(cursor) % 4)
        found = _KEY.fullmatch(urlsafe_b64decode(padded.encode("ascii")).decode("ascii"))
        if found:
            return JobKey(*found.groups())
    raise BadRequest("after must be what the page before said in next, or empty", point="after")
