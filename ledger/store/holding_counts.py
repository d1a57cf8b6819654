"""How many things accounts own, as the writer knows it: counted once, then kept up to date.

Of what other processes record, only the kind is known, not the owner. So a count becomes a range,
and things are counted again only where the range leaves the answer open.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from functools import partial
from typing import NamedTuple

from ledger.codec import name_of, names_of
from ledger.domain.events import Event
from ledger.domain.events.drives import DriveCreated, DriveDeleted, DriveReady
from ledger.domain.events.housekeeping import JobsDiscarded
from ledger.domain.events.jobs import JobCancelled, JobCreated, JobFailed, JobSucceeded
from ledger.domain.events.keypairs import KeypairCreated, KeypairDeleted
from ledger.domain.events.producers import JobSkipped
from ledger.domain.events.servers import ServerCreated, ServerDeleted, ServerPowerChanged
from ledger.domain.events.tags import TagCreated, TagDeleted
from ledger.domain.quotas import Holding, Kind
from ledger.store.patience import read_patiently
from ledger.store.seam import Projection, Store

COUNTED_MAX = 50_000
"""How many counts are cached: a few for each account."""
ANY_NUMBER = 10**12
"""More things than one event can make or end."""

_MADE: Mapping[type[Event], tuple[Kind, ...]] = {
    DriveCreated: ("drives", "unfinished-uploads"),
    ServerCreated: ("servers",),
    ServerPowerChanged: ("addresses",),
    TagCreated: ("tags",),
    KeypairCreated: ("keypairs",),
    JobCreated: ("jobs-running", "jobs-kept"),
}
_GONE: Mapping[type[Event], tuple[Kind, ...]] = {
    DriveReady: ("unfinished-uploads",),
    DriveDeleted: ("drives", "unfinished-uploads"),
    ServerDeleted: ("servers",),
    ServerPowerChanged: ("addresses",),
    TagDeleted: ("tags",),
    KeypairDeleted: ("keypairs",),
    JobSucceeded: ("jobs-running",),
    JobFailed: ("jobs-running",),
    JobSkipped: ("jobs-running",),
    JobCancelled: ("jobs-running",),
    JobsDiscarded: ("jobs-kept",),
}
COUNTING = _MADE.keys() | _GONE.keys()
"""The only events that change how many things an owner has."""


def _by_name(kinds: Mapping[type[Event], tuple[Kind, ...]]) -> Mapping[str, tuple[Kind, ...]]:
    return {name: of for event, of in kinds.items() for name in names_of([event])}


_MADE_BY_NAME, _GONE_BY_NAME = _by_name(_MADE), _by_name(_GONE)

_OF_MANY = names_of([JobsDiscarded, ServerPowerChanged])


class _Counted(NamedTuple):
    """A count, and how many things of this kind other processes had made and ended by then."""

    number: int
    made: int
    gone: int


class HoldingCounts:
    """The counts that were asked for, as of the last commit. For the writer's thread."""

    def __init__(self, store: Store, projection: Projection) -> None:
        self._store = store
        self._projection = projection
        self._counted: OrderedDict[Holding, _Counted] = OrderedDict()
        self._made: Counter[Kind] = Counter()
        self._gone: Counter[Kind] = Counter()

    def exceeds(self, holding: Holding, limit: int, more: int = 0) -> bool:
        """Return whether `more` things of this kind would take the owner beyond the limit."""
        number, made, gone = self._counted.get(holding) or self._count(holding)
        most = number + more + self._made[holding.kind] - made
        least = number + more - (self._gone[holding.kind] - gone)
        if least <= limit < most:
            return self._count(holding).number + more > limit
        return most > limit

    def add(self, changes: Mapping[Holding, int]) -> None:
        """Add what this process has committed."""
        for holding, n in changes.items():
            counted = self._counted.get(holding)
            if counted is not None:
                self._counted[holding] = counted._replace(number=counted.number + n)

    def note_others(self, topics: Iterable[str]) -> None:
        """Note what other processes have recorded."""
        for name in map(name_of, topics):
            most = ANY_NUMBER if name in _OF_MANY else 1
            for kind in _MADE_BY_NAME.get(name, ()):
                self._made[kind] += most
            for kind in _GONE_BY_NAME.get(name, ()):
                self._gone[kind] += most

    def clear(self) -> None:
        """Forget all counts, so that they are made anew when needed."""
        self._counted.clear()

    def _count(self, holding: Holding) -> _Counted:
        number = read_patiently(
            self._store, partial(self._projection.count, owner=holding.owner, kind=holding.kind)
        )
        counted = _Counted(number, self._made[holding.kind], self._gone[holding.kind])
        self._counted[holding] = counted
        self._counted.move_to_end(holding)
        while len(self._counted) > COUNTED_MAX:
            self._counted.popitem(last=False)
        return counted
