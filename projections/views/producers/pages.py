"""Pages of jobs by labels, states and all else that they are found by, in orders that never change.

What is asked for is a list of requirements. An index leads along the values of one of them, in the
order of (created, uuid); the others are looked up for each job on the way. By the time when they
ended, jobs are only asked for in that order, and then all requirements are looked up.
"""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import datetime
from heapq import merge
from operator import itemgetter
from typing import Literal, NamedTuple

from ledger.store.log import streamed
from ledger.store.parameters import marks, timestamp
from projections.facets import CONDITION, KEYS, STATE, facet_value
from projections.views import walks
from projections.views.reader import Reader
from projections.views.walks import Key, Step, step_of

PARENT, ROOT = ":parent", ":root"
"""Keys of requirements that a job's own row meets."""
_COLUMNS = {PARENT: "parent", ROOT: "root"}

_LEADS = (
    PARENT,
    ROOT,
    KEYS["subject"],
    KEYS["series"],
    CONDITION,
    KEYS["host"],
    "",
    KEYS["source"],
    KEYS["operation"],
    KEYS["state"],
)
"""Which of several requirements leads: the one that mostly finds the fewest; "" is a label."""

Order = Literal["created", "ended"]


class Requirement(NamedTuple):
    """A job must have one of these values under the key; none of them; or any at all."""

    key: str
    operator: Literal["in", "notin", "exists"]
    values: tuple[str, ...] = ()


class Wanted(NamedTuple):
    """The jobs of a list: what all of them meet, and in which part of the order they are."""

    requirements: tuple[Requirement, ...] = ()
    order: Order = "created"
    since: datetime | None = None
    before: datetime | None = None


class _Arm(NamedTuple):
    """Rows that an index yields in order."""

    source: str
    where: str
    parameters: list[str]


class JobPages(Reader):
    def job_page(
        self, owner: str, wanted: Wanted, now: datetime, *, key: Key | None = None, limit: int
    ) -> Step:
        """Return the page of an account's jobs that follows the key, which looks at 20,000 at most.

        Its keys are of the wanted order. None is the key before the first page.
        """
        statements = page_sql(owner, wanted, now, key, self._g)
        with ExitStack() as stack:
            if is_short(wanted):
                arms = [iter(self._all(sql, [*given, limit + 1])) for sql, given in statements]
            else:
                most = walks.LOOKED_AT_MAX
                arms = [
                    stack.enter_context(
                        closing(streamed(self._connection.cursor(), sql, [*given, most]))
                    )
                    for sql, given in statements
                ]
            return step_of(merge(*arms, key=_place, reverse=True), key, limit)


_place = itemgetter(0, 1)


def is_short(wanted: Wanted) -> bool:
    """Return whether a page looks at few more rows than it shows."""
    lead = _lead(wanted)
    if lead is None:
        return not wanted.requirements
    return len(wanted.requirements) == 1 and not _needs_look(lead)


def page_sql(
    owner: str, wanted: Wanted, now: datetime, key: Key | None, generation: int
) -> list[tuple[str, list[str]]]:
    """Return statements that read (place, uuid, whether it matches) in order, to be merged.

    There is one for each value that leads: no planner can be relied on to merge them. The last
    parameter of each, the number of rows, is left to the caller.
    """
    lead, place = _lead(wanted), wanted.order
    matches, checked = _matches(wanted, lead, now, generation)
    bounds, bounded = _bounds(place, wanted, key)
    statements = []
    for arm in _arms(owner, lead, place, generation):
        sql = (
            f"SELECT {place}, uuid, {matches} FROM {arm.source} AS looked_at"
            f" WHERE {arm.where}{bounds} ORDER BY {place} DESC, uuid DESC LIMIT ?"
        )
        statements.append((sql, [*checked, *arm.parameters, *bounded]))
    return statements


def _matches(
    wanted: Wanted, lead: Requirement | None, now: datetime, generation: int
) -> tuple[str, list[str]]:
    """Return what says whether a row matches, beyond what the lead does, and its parameters."""
    checks = [
        _check(each, now, generation)
        for each in wanted.requirements
        if each is not lead or _needs_look(each)
    ]
    if not checks:
        return "1", []
    clauses = " AND ".join(clause for clause, _ in checks)
    return f"CASE WHEN {clauses} THEN 1 ELSE 0 END", [each for _, given in checks for each in given]


def _lead(wanted: Wanted) -> Requirement | None:
    """Return the requirement along whose values the index leads; None if along all jobs."""
    if wanted.order == "ended":
        return None
    leading = [each for each in wanted.requirements if each.operator == "in" and each.values]
    return min(leading, key=_rank, default=None)


def _rank(requirement: Requirement) -> int:
    return _LEADS.index(requirement.key if requirement.key.startswith(":") else "")


def _arms(owner: str, lead: Requirement | None, place: Order, g: int) -> list[_Arm]:
    if lead is None:
        ended = " AND ended IS NOT NULL" if place == "ended" else ""
        return [_Arm(f"jobs_g{g}", f"owner = ?{ended}", [owner])]
    values = _stored(lead)
    if lead.key == CONDITION:
        return [_labelled(owner, *facet, g) for value in values for facet in _may_meet(value)]
    if lead.key in _COLUMNS:  # the `||` makes it go by the tree, not by all that the account has
        where = f"{_COLUMNS[lead.key]} = ? AND owner || '' = ?"
        return [_Arm(f"jobs_g{g}", where, [value, owner]) for value in values]
    return [_labelled(owner, lead.key, value, g) for value in values]


def _labelled(owner: str, key: str, value: str, g: int) -> _Arm:
    return _Arm(f"labels_g{g}", "owner = ? AND key = ? AND value = ?", [owner, key, value])


def _may_meet(condition: str) -> Iterator[tuple[str, str]]:
    """Yield the facets of jobs that may meet the condition.

    Nothing is recorded of a job below one that was asked to stop, so it is any that is not over.
    """
    if condition == _ASKED:
        yield from ((STATE, "running"), (STATE, "queued"))
    else:
        yield CONDITION, condition


def _bounds(place: Order, wanted: Wanted, key: Key | None) -> tuple[str, list[str]]:
    bounds, parameters = "", list[str]()
    if wanted.since is not None:
        bounds += f" AND {place} >= ?"
        parameters.append(timestamp(wanted.since))
    if wanted.before is not None:
        bounds += f" AND {place} < ?"
        parameters.append(timestamp(wanted.before))
    if key is not None:
        bounds += f" AND ({place}, uuid) < (?, ?)"
        parameters += key
    return bounds, parameters


def _check(requirement: Requirement, now: datetime, g: int) -> tuple[str, list[str]]:
    """Return the condition on the row that is looked at, and its parameters."""
    key, operator, given = requirement.key, requirement.operator, _stored(requirement)
    if key in _COLUMNS:
        own = f"SELECT 1 FROM jobs_g{g} AS this WHERE this.uuid = looked_at.uuid"
        return f"EXISTS ({own} AND this.{_COLUMNS[key]} IN ({marks(given)}))", given
    has = f"SELECT 1 FROM labels_g{g} AS has WHERE has.uuid = looked_at.uuid AND has.key = ?"
    if operator == "exists":
        return f"EXISTS ({has})", [key]
    found = f"EXISTS ({has} AND has.value IN ({marks(given)})"
    if operator == "notin":
        return f"NOT {found})", [key, *given]
    if not _needs_look(requirement):
        return f"{found})", [key, *given]
    looked, parameters = f"{found} AND {_look(g)})", [key, *given, timestamp(now)]
    return (f"({looked} OR {_asked_above(g)})" if _ASKED in given else looked), parameters


def _stored(requirement: Requirement) -> list[str]:
    """Return its values as they are stored, each once."""
    return [*dict.fromkeys(map(facet_value, requirement.values))]


def _needs_look(requirement: Requirement) -> bool:
    """Whether the facet only says that a job may match."""
    return requirement.key == CONDITION and bool({*requirement.values} & {*_LOOKED_UP})


_ASKED = "cancel_requested"
_LOOKED_UP = ("overdue", "children_running", _ASKED)


def _look(g: int) -> str:
    return (
        "CASE has.value"
        f" WHEN 'overdue' THEN EXISTS (SELECT 1 FROM produced_g{g} AS it"
        "  WHERE it.uuid = looked_at.uuid AND it.overdue <= ?)"
        f" WHEN 'children_running' THEN EXISTS (SELECT 1 FROM jobs_g{g} AS below"
        "  WHERE below.parent = looked_at.uuid AND below.state = 'started')"
        " ELSE true END"
    )


def _asked_above(g: int) -> str:
    """Return whether the job is to stop because of one above it.

    The rule is that of `ledger.domain.producers.stops.asked_to_stop`.
    """
    parent = f"(SELECT above.parent FROM jobs_g{g} AS above WHERE above.uuid = line.parent)"
    return (
        "EXISTS (WITH RECURSIVE line (uuid, parent) AS ("
        f" SELECT this.uuid, this.parent FROM jobs_g{g} AS this WHERE this.uuid = looked_at.uuid"
        "  AND this.ended IS NULL AND (this.cancellable = 1 OR this.unattended = 1)"
        f" UNION ALL SELECT line.parent, {parent} FROM line WHERE line.parent IS NOT NULL)"
        f" SELECT 1 FROM line JOIN stops_g{g} AS stop ON stop.job = line.uuid"
        " WHERE line.uuid <> looked_at.uuid AND stop.below = 1)"
    )
