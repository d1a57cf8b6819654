"""A sweep: discards what a plan names, some trees at a time, between the commands of others.

Each command drops the rows of its trees in the transaction that records them as discarded. What the
events of a tree come to is found out here, not in the writer's thread; a tree of which an event
cannot be read is parked and stays, and the others go.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from ledger.acts import Parking
from ledger.application import Ledger
from ledger.codec import decode
from ledger.commands import DiscardJobs, ParkStream
from ledger.errors import UnknownEvent
from ledger.events import DiscardedTree, job_stream, parking_stream
from ledger.retention import Plan
from ledger.slicing import sliced
from ledger.store.seam import Log, RowKey
from ledger.store.writer import Caller
from projections.streams import folded, rows_of_history
from projections.views.sweeping import rows_that_show

READER = "sweep"
TREES_AT_ONCE = 20
STREAMS_AT_ONCE = 100
"""Few enough that the commands of others hardly wait."""

SYSTEM = Caller("system", "")


@dataclass
class Swept:
    """What a sweep has done; `parked` are the streams that it could not read."""

    sweep: str
    trees: int = 0
    jobs: int = 0
    streams: int = 0
    parked: list[str] = field(default_factory=list)


class _Unreadable(Exception):
    """A stream of what is to be discarded cannot be folded, and is parked."""


def sweep(ledger: Ledger, plan: Plan, new_id: Callable[[], str], by: Caller = SYSTEM) -> Swept:
    """Discards what the plan names; blocks, so call it in a thread that holds `maintenance`.

    Raises `NotDue` if the policy has changed meanwhile, and `StoreFailed`.
    """
    return _Sweep(ledger, plan, new_id(), by).run()


class _Sweep:
    def __init__(self, ledger: Ledger, plan: Plan, uuid: str, by: Caller) -> None:
        self._ledger = ledger
        self._plan = plan
        self._by = by
        self._done = Swept(uuid)

    def run(self) -> Swept:
        for trees in sliced(self._plan.trees, TREES_AT_ONCE):
            self._discard(trees, ())
        for streams in sliced(self._plan.streams, STREAMS_AT_ONCE):
            self._discard((), streams)
        if self._done.trees or self._done.streams:
            self._record((), (), [], last=True)
        return self._done

    def _discard(self, trees: Sequence[DiscardedTree], streams: Sequence[str]) -> None:
        """Discards these, without those that cannot be read."""
        rows: list[RowKey] = []
        readable = []
        with self._ledger.log() as log:
            for tree in trees:
                shown = self._rows(log, [job_stream(uuid) for uuid in tree.jobs])
                if shown is not None:
                    readable.append(tree)
                    rows += shown
            others = []
            for stream in streams:
                shown = self._rows(log, [stream])
                if shown is not None:
                    others.append(stream)
                    rows += shown
        if readable or others:
            self._record(tuple(readable), tuple(others), rows)

    def _record(
        self,
        trees: tuple[DiscardedTree, ...],
        streams: tuple[str, ...],
        rows: list[RowKey],
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
            tuple(rows),
            last,
        )
        self._ledger.execute_blocking(command, self._by)
        done.trees += len(trees)
        done.jobs += sum(len(tree.jobs) for tree in trees)
        done.streams += len(streams)

    def _rows(self, log: Log, streams: Iterable[str]) -> list[RowKey] | None:
        """The keys of all rows of these streams; None if one of them cannot be read."""
        rows: list[RowKey] = []
        for stream in streams:
            stored = log.stream(stream)
            try:
                rows += rows_of_history(stream, [decode(topic, at) for _, topic, at in stored])
            except (UnknownEvent, AssertionError) as error:
                if not self._is_skipped(log, stream):
                    self._park(stream, str(error))
                    return None
                rows += rows_that_show(log.cursor(), stream)
        return rows

    def _is_skipped(self, log: Log, stream: str) -> bool:
        parking = folded(log, parking_stream(stream))
        return isinstance(parking, Parking) and parking.handling == "skip"

    def _park(self, stream: str, reason: str) -> None:
        self._done.parked.append(stream)
        self._ledger.execute_blocking(ParkStream(stream, READER, reason), self._by)
