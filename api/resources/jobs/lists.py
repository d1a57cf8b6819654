"""Lists of jobs: which jobs a request asks for, and where a page by key begins."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from aiohttp import web

from api.http.errors import BadRequest
from api.http.requests import SHORT_LIMIT, conditions, filter_values, page, read_time
from api.http.responses import Shown, json_answer
from ledger.store.parameters import timestamp
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
    """The jobs that the filters of a list ask for; `states` None means any state."""

    states: Sequence[str] | None
    conditions: tuple[Condition, ...]

    @property
    def are_indexed(self) -> bool:
        """Whether an index finds them; otherwise all of the account's jobs may be searched."""
        searched = any(each.lookup == "operation" for each in self.conditions)
        return not searched and (self.states is None or len(self.states) <= 1)


def wanted_jobs(request: web.Request) -> WantedJobs:
    """Return the jobs that the request asks for. Raise `BadRequest` for a senseless filter."""
    found = conditions(request, _FILTERS)
    found += [
        Condition(lookup, (timestamp(read_time(text, name)),))
        for name, lookup in _TIMES.items()
        for text in request.query.getall(name, ())
    ]
    return WantedJobs(filter_values(request, "state"), tuple(found))


class KeyPage(NamedTuple):
    """Up to `limit` jobs after the place `key` in the list; None means from its beginning."""

    limit: int
    key: JobKey | None


def key_page(request: web.Request) -> KeyPage | None:
    """Return the page that `after` asks for; None without `after`. Raise `BadRequest`."""
    given = request.query.getall("after", ())
    if not given:
        return None
    if "offset" in request.query:
        raise BadRequest("with after there is no offset", point="offset")
    limit = page(request).limit
    if not 0 < limit <= SHORT_LIMIT:
        raise BadRequest(f"with after, limit goes from 1 to {SHORT_LIMIT}", point="limit")
    return KeyPage(limit, _key(given[-1]) if given[-1] else None)


def key_answer(asked: KeyPage, found: Sequence[JobTree], shown: Sequence[Shown]) -> web.Response:
    """Answer with the page; `found` has one job more than the page if there are more."""
    more = len(found) > asked.limit
    meta = {
        "limit": asked.limit,
        "next": cursor_of(key_of(found[asked.limit - 1])) if more else None,
    }
    return json_answer({"meta": meta, "objects": shown[: asked.limit]})


def refuse_in_the_past(request: web.Request) -> None:
    """Raise `BadRequest` for parameters that a list as of an earlier moment does not take."""
    for name in ("after", *_FILTERS, *_TIMES):
        if name in request.query:
            raise BadRequest(f"with as_of, {name} is not offered", point=name)


def cursor_of(key: JobKey) -> str:
    """Return the `after` of the page that follows this place in the list."""
    return urlsafe_b64encode(" ".join(key).encode()).decode().rstrip("=")


def _key(cursor: str) -> JobKey:
    with suppress(Error, UnicodeError):
        padded = cursor + "=" * (-len(cursor) % 4)
        found = _KEY.fullmatch(urlsafe_b64decode(padded.encode("ascii")).decode("ascii"))
        if found:
            return JobKey(*found.groups())
    raise BadRequest("after must be what the page before said in next, or empty", point="after")
