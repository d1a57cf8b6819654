"""Lists of jobs: which jobs a request asks for."""

from collections.abc import Sequence
from typing import NamedTuple

from aiohttp import web

from api.http.errors import BadRequest
from api.http.requests import conditions, filter_values, order_by, read_time
from ledger.store.parameters import timestamp
from projections.views.filters import Condition, Lookup, is_narrow

_FILTERS: dict[str, Lookup] = {"operation": "operation", "resource": "resource"}
_TIMES: dict[str, Lookup] = {
    "last_modified__gte": "modified_from",
    "last_modified__lt": "modified_before",
}
FILTERS = ("state", *_FILTERS, *_TIMES)
_ORDERING = ("last_modified",)
ORDERING = ("-last_modified",)
"""The order of the list; it can be asked for backwards, too."""


class WantedJobs(NamedTuple):
    """The jobs that the filters of a list ask for; `states` None means any state."""

    states: Sequence[str] | None
    conditions: tuple[Condition, ...]

    @property
    def are_indexed(self) -> bool:
        """Whether an index finds them; otherwise all of the account's jobs may be searched."""
        searched = any(each.lookup == "operation" for each in self.conditions)
        is_narrowed = not searched and is_narrow(self.conditions)
        return is_narrowed and (self.states is None or len(self.states) <= 1)

    @property
    def all_conditions(self) -> tuple[Condition, ...]:
        """Return the conditions, that on the state among them."""
        if self.states is None:
            return self.conditions
        return (Condition("state", tuple(self.states)), *self.conditions)


def wanted_jobs(request: web.Request) -> WantedJobs:
    """Return the jobs that the request asks for. Raise `BadRequest` for a senseless filter."""
    found = conditions(request, _FILTERS)
    found += [
        Condition(lookup, (timestamp(read_time(text, name)),))
        for name, lookup in _TIMES.items()
        for text in request.query.getall(name, ())
    ]
    return WantedJobs(filter_values(request, "state"), tuple(found))


def oldest_first(request: web.Request) -> bool:
    """Return whether the latest change is to come last. Raise `BadRequest` for another order."""
    return any(not by.descending for by in order_by(request, _ORDERING))


def refuse_in_the_past(request: web.Request) -> None:
    """Raise `BadRequest` for parameters that a list as of an earlier moment does not take."""
    for name in ("after", "order_by", *_FILTERS, *_TIMES):
        if name in request.query:
            raise BadRequest(f"with as_of, {name} is not offered", point=name)
