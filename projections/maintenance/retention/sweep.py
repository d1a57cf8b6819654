"""A sweep: discards what a plan names, some trees at a time, between the commands of others.

Each command drops the rows of its trees in the transaction that records them as discarded. The
sweep finds those rows here, to spare the writer's thread. A tree with an event that cannot be read
is parked and stays, while the others are discarded; once it is released with `skip`, it is
discarded unread.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ledger.application import Ledger
from ledger.domain.commands.housekeeping import DiscardJobs, ParkStream
from ledger.domain.errors import Expected
from ledger.domain.errors.housekeeping import TreeChanged
from ledger.domain.errors.store import UnreadableStream
from ledger.domain.events.housekeeping import DiscardedTree
from ledger.domain.retention_policy import Plan
from ledger.store.parameters import sliced
from ledger.store.seam import Log, RowKey
from ledger.store.tables import guards
from ledger.store.unit_of_work import tree_guard
from ledger.store.writer import Caller
from projections.maintenance.retention.plan import plan_of
from projections.streams import parkings, rows_of_stream
from projections.views.retention import floors_of, rows_that_show, staying_among

READER = "sweep"
TREES_AT_ONCE = 20
JOBS_AT_ONCE = 50
STREAMS_AT_ONCE = 100
"""Few enough that other commands hardly wait. A tree goes as a whole, however many jobs it has."""
TRIES = 5
"""How often trees are read that change each time before they can be discarded."""

SYSTEM = Caller("system", "")


class RetentionStopped(Expected):
    """The run was asked to stop before its end; the next one does the rest."""


def never() -> bool:
    return False


@dataclass
class Swept:
    """What a sweep did; `parked` are the streams that it could not read."""

    sweep: str
    trees: int = 0
    jobs: int = 0
    streams: int = 0
    parked: list[str] = field(default_factory=list)


class _Rows(NamedTuple):
    """The keys of the rows of some streams, and the streams that could not be read.

    `guards` are those of their trees at that moment.
    """

    keys: list[RowKey]
    unread: list[str]
    guards: list[int]


def sweep(
    ledger: Ledger,
    plan: Plan,
    new_id: Callable[[], str],
    by: Caller = SYSTEM,
    *,
    stopping: Callable[[], bool] = never,
) -> Swept:
    """Discard what the plan names; block, so call it in a thread that holds `maintenance`.

    Raise `NotDue` if the policy has changed meanwhile; `StoreFailed`, also for a lost lease (the
    next sweep discards the rest); and `RetentionStopped` soon after `stopping` returns true.
    """
    return _Sweep(ledger, plan, new_id(), by, stopping).run()


def _few_at_once(trees: Sequence[DiscardedTree]) -> Iterator[Sequence[DiscardedTree]]:
    some: list[DiscardedTree] = []
    for tree in trees:
        jobs = sum(len(one.jobs) for one in some)
        if len(some) == TREES_AT_ONCE or (some and jobs + len(tree.jobs) > JOBS_AT_ONCE):
            yield some
            some = []
        some.append(tree)
    if some:
        yield some


class _Sweep:
    def __init__(
        self, ledger: Ledger, plan: Plan, uuid: str, by: Caller, stopping: Callable[[], bool]
    ) -> None:
        self._ledger = ledger
        self._plan = plan
        self._by = by
        self._stopping = stopping
        self._done = Swept(uuid)
        self._left = False
        """Whether a tree is left to the next sweep, so that this one ends before its time."""
        with ledger.log() as log:
            released = [one for one in parkings(log) if one.handling == "skip"]
            self._floors = floors_of(log.cursor())
        self._skipped = {parking.stream for parking in released}

    def run(self) -> Swept:
        for trees in _few_at_once(self._plan.trees):
            self._discard(trees, ())
        for streams in sliced(self._streams(), STREAMS_AT_ONCE):
            self._discard((), streams)
        if (self._done.trees or self._done.streams) and not self._left:
            self._record((), (), _Rows([], [], []), last=True)
        return self._done

    def _streams(self) -> Sequence[str]:
        """Return the streams to discard; what a tree parked by this sweep names stays with it.

        Compactions come last: they say which sweeps are compacted.
        """
        streams = self._plan.streams
        if self._done.parked:
            streams = plan_of(self._ledger.log, self._plan.terms, self._plan.cutoff).streams
        return sorted(streams, key=lambda stream: stream.startswith("compaction-"))

    def _discard(self, trees: Sequence[DiscardedTree], streams: Sequence[str]) -> None:
        """Discard these, except those that cannot be read.

        Read them anew if something was recorded in a tree meanwhile: its rows are others then. One
        in which that goes on is left to the next sweep, and keeps no other from being discarded.
        """
        for _ in range(TRIES):
            if self._tried(trees, streams):
                return
        if len(trees) == 1:
            self._left = True
            return
        for tree in trees:
            self._discard((tree,), ())

    def _tried(self, trees: Sequence[DiscardedTree], streams: Sequence[str]) -> bool:
        if self._stopping():
            raise RetentionStopped("the sweep was interrupted")
        rows = _Rows([], [], [])
        with self._ledger.log() as log:
            staying = self._staying(log, trees)
            due_trees = tuple(
                tree
                for tree in trees
                if tree.jobs[0] not in staying and self._add(log, tree.streams(), rows)
            )
            due_streams = tuple(stream for stream in streams if self._add(log, [stream], rows))
            for tree in due_trees:
                rows.guards.append(guards.version_of(log.cursor(), tree_guard(tree.jobs[0])))
        try:
            if due_trees or due_streams:
                self._record(due_trees, due_streams, rows)
        except TreeChanged:
            return False
        return True

    def _staying(self, log: Log, trees: Sequence[DiscardedTree]) -> set[str]:
        """Return the roots of those that stay after all: a late report may be of a success."""
        cursor, terms = log.cursor(), self._plan.terms
        roots = [tree.jobs[0] for tree in trees]
        return set(staying_among(cursor, roots, terms, self._plan.moment, self._floors))

    def _record(
        self,
        trees: tuple[DiscardedTree, ...],
        streams: tuple[str, ...],
        rows: _Rows,
        *,
        last: bool = False,
    ) -> None:
        done, plan = self._done, self._plan
        command = DiscardJobs(
            done.sweep,
            plan.keep,
            plan.cutoff,
            plan.position,
            trees,
            streams,
            tuple(rows.keys),
            tuple(rows.unread),
            last,
            tuple(rows.guards),
            plan.keep_last,
        )
        self._ledger.maintenance.check()
        self._ledger.execute_blocking(command, self._by)
        done.trees += len(trees)
        done.jobs += sum(len(tree.jobs) for tree in trees)
        done.streams += len(streams)

    def _add(self, log: Log, streams: Sequence[str], rows: _Rows) -> bool:
        """Add the rows of all these streams; if one is parked, add none and return false."""
        found = _Rows([], [], [])
        for stream in streams:
            try:
                found.keys.extend(rows_of_stream(log, stream))
            except UnreadableStream as error:
                if stream not in self._skipped:
                    self._park(error)
                    return False
                found.keys.extend(rows_that_show(log.cursor(), stream))
                found.unread.append(stream)
        rows.keys.extend(found.keys)
        rows.unread.extend(found.unread)
        return True

    def _park(self, error: UnreadableStream) -> None:
        self._ledger.maintenance.check()  # another holder may have discarded it
        self._done.parked.append(error.stream)
        self._ledger.execute_blocking(ParkStream(error.stream, READER, str(error)), self._by)
