"""Rebuilds the read models from the ledger next to the live ones, and switches over.

The next generation of the tables is filled stream by stream from the log as of one position: each
stream is folded once and its rows are written once, so memory does not grow with the ledger. Then
the rebuild catches up with what was recorded meanwhile; the last of it, and the flip of the
pointer, are one transaction between two batches of commands. An event that cannot be folded stops
the rebuild, and nothing is flipped.

What a rebuild writes can make SQLite's WAL so long that reads are cut, above all its own. So the
log is read by many short snapshots, and after one that was cut the next goes on.
"""

import hashlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple, TypeVar

from ledger.application import Ledger
from ledger.codec import decode
from ledger.domain.errors import Expected
from ledger.domain.errors.store import ReadCut, StoreBusy, UnreadableStream
from ledger.domain.events import Event, Recorded
from ledger.store.lease import acquire_within
from ledger.store.parameters import sliced
from ledger.store.seam import Cursor, Log, Row, RowKey, Rows
from ledger.store.whole_streams import tails
from projections.streams import (
    CANNOT_FOLD,
    discarded_streams,
    rows_of_history,
    sweeps,
    unreadable_stream,
)
from projections.tables import BY_NAME, TABLES, Table, select_all
from projections.views.generations import (
    count_values,
    create_generation,
    delete_rows,
    drop_generation,
    drop_indexes,
    drop_rows,
    flip,
    is_outdated,
    live_generation,
    put_rows,
    superseded_generations,
    tables_of,
)

T = TypeVar("T")

SLICE_ROWS = 256
"""Rows written before commands may interrupt: a few milliseconds."""
GATHERED_ROWS = 4096
"""Rows written in one transaction when no command waits."""
CATCH_UP_STREAMS = 64
"""With fewer changed streams than this, the rest is done in the transaction of the flip."""
SLICE_S = 0.1
"""How long one transaction deletes rows: other nodes' exclusive work waits as long."""
SNAPSHOT_S = 0.25
SNAPSHOT_FACTOR = 10
"""How long one snapshot is read while rows are written; or this many times as long as its first row
took, for which a database server may have to sort all others."""
READ_S = 1.0
"""The pause between two checks whether a superseded generation is still being read."""
REPORT_EVENTS = 10_000
EARLIER_ROWS = "rows of an earlier version"
"""Stands for their digest: they cannot be compared."""

Report = Callable[[int, int], None]
"""Is called with how many events are folded, and how many there are."""


class AlreadyRebuilding(Expected):
    """Another rebuild is under way."""


class NotCompared(Expected):
    """The rebuilt rows are live, but they were not compared with those before."""


class Rebuilt(NamedTuple):
    """A rebuild: digests of the live and of the rebuilt rows as of the same position."""

    position: int
    events: int
    before: str
    after: str
    seconds: float


def rebuild(ledger: Ledger, report: Report, *, patience_s: float = 0.0) -> Rebuilt:
    """Rebuild all read models while the ledger is in use; block, so call it in a thread.

    Wait `patience_s` for other maintenance to end. Raise `AlreadyRebuilding`, `StoreFailed`, and
    `UnreadableStream` for a stream that cannot be folded. Raise `NotCompared` if the rebuilt rows
    are live, but others wrote so much that they could not be read to their end, and `PauseLost` if
    others may have written to them before.
    """
    if not acquire_within(ledger.maintenance, patience_s):
        raise AlreadyRebuilding("a rebuild or a compaction is under way")
    try:
        return _Rebuild(ledger).run(report)
    finally:
        ledger.maintenance.release()


class _Rebuild:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._position = 0
        self._discarded: set[str] = set()
        self._live = 0
        self._next = 0
        self._outdated = False

    def run(self, report: Report) -> Rebuilt:
        started = time.monotonic()
        self._clear()
        self._live, self._next, self._outdated = self._exclusive(_begin).result()
        try:
            events = self._fill(report)
            self._catch_up()
            with ExitStack() as held:
                before, after = self._flip(held)
        finally:
            self._clear()  # the superseded generation, or the one that was not finished
        return Rebuilt(self._position, events, before, after, time.monotonic() - started)

    def _fill(self, report: Report) -> int:
        """Fold every stream, as of one position, into rows of the next generation."""
        total = self._read(self._begin_reading)
        written = _RowWriter(self._exclusive, self._ledger.busy, self._next)
        for state_rows in self._rows_of_all(lambda done: report(done, total)):
            written.add(state_rows)
        written.finish()
        for table in TABLES:
            count = partial(count_values, table=table, generation=self._next)
            self._exclusive(count).result()
        report(total, total)
        return total

    def _begin_reading(self, log: Log) -> int:
        """Note what is to be read; return how many events there are."""
        self._position = log.last_position()
        self._discarded = discarded_streams(sweeps(log))
        _require_beginnings(log, self._discarded)
        return log.count()

    def _read(self, work: Callable[[Log], T]) -> T:
        """Return what `work` reads as of one moment, and repeat it if it is cut."""
        while True:
            with suppress(ReadCut), self._ledger.log() as log:
                return work(log)

    def _rows_of_all(self, folded: Callable[[int], None]) -> Iterator[Rows]:
        """Yield the rows of every stream that is shown, each folded from all its events."""
        done = 0
        reported = 0
        for stream, stored in self._histories():
            if stream not in self._discarded:
                yield self._folded(stream, stored)
            done += len(stored)
            if done - reported >= REPORT_EVENTS:
                reported = done
                folded(done)

    def _histories(self) -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
        """Yield every stream with its events up to the position.

        They are read by several snapshots, none of them for long. No event goes, as long as this is
        maintenance.
        """
        after, is_whole = "", False
        while not is_whole:
            began, until = time.monotonic(), None
            with suppress(ReadCut), self._ledger.log() as log:
                for stream, history in groupby(
                    log.by_stream(after, self._position), key=itemgetter(0)
                ):
                    until = until or _end_of_snapshot(began)
                    yield stream, [(topic, state) for _, topic, state in history]
                    after = stream
                    if time.monotonic() > until:
                        break
                else:
                    is_whole = True

    def _folded(self, stream: str, stored: list[tuple[str, bytes]]) -> Rows:
        try:
            return rows_of_history(stream, [decode(topic, state) for topic, state in stored])
        except CANNOT_FOLD as error:
            with self._ledger.log() as log:
                raise unreadable_stream(log, stream, error) from error

    def _catch_up(self) -> None:
        """Fold again what has changed, until little changes, or commands keep pace."""
        enough, before = False, sys.maxsize
        while not enough:
            news = self._read(self._news)
            for some in sliced(news.streams, CATCH_UP_STREAMS):
                changes = self._read(partial(news.changes, some))
                write = partial(_write, generation=self._next, changes=changes)
                self._exclusive(write).result()
            self._note(news)
            enough = len(news.streams) < CATCH_UP_STREAMS or len(news.streams) > before // 2
            before = len(news.streams)

    def _news(self, log: Log) -> "_News":
        """Return what has changed since the position."""
        discarded = discarded_streams(sweeps(log))
        streams = {*log.streams_after(self._position), *(discarded - self._discarded)}
        return _News(
            self._position, log.last_position(), self._discarded, discarded, sorted(streams)
        )

    def _note(self, news: "_News") -> None:
        """Note that the rows of the next generation show this."""
        self._position, self._discarded = news.until, news.discarded

    def _flip(self, held: ExitStack) -> tuple[str, str]:
        """Catch up and flip in one transaction; return digests of both generations then."""

        def finish(cursor: Cursor) -> None:
            with self._ledger.log() as log:
                news = self._news(log)
                _write(cursor, self._next, news.changes(news.streams, log))
            self._note(news)
            flip(cursor, self._next)

        pinned: list[Cursor] = []

        def pin() -> None:  # in the writer's thread, before anybody can write to the new rows
            pinned.append(held.enter_context(self._ledger.log()).cursor())
            self._ledger.forget()  # relations it may have read from rows that had drifted

        self._exclusive(finish, pin).result()
        try:
            before = EARLIER_ROWS if self._outdated else digest(pinned[0], self._live)
            return before, digest(pinned[0], self._next)
        except ReadCut as error:
            raise NotCompared(
                "the read models are rebuilt, but could not be compared with those before: so much"
                " was recorded meanwhile that the read was ended"
            ) from error

    def _exclusive(
        self, work: Callable[[Cursor], T], afterwards: Callable[[], None] | None = None
    ) -> "Future[T]":
        """Do exclusive work as long as this rebuild holds its lease.

        Without the lease it would write into, or drop, the generation of another rebuild.
        """

        def done(cursor: Cursor) -> T:
            self._ledger.maintenance.check()
            return work(cursor)

        return self._ledger.exclusive(done, afterwards=afterwards)

    def _clear(self) -> None:
        """Empty and drop the generations that are not live, some rows at a time."""
        for generation in self._exclusive(superseded_generations).result():
            self._once_unread(partial(drop_indexes, generation=generation))
            names = self._exclusive(partial(tables_of, generation=generation)).result()
            for table in (BY_NAME[name] for name in names):
                emptied = partial(self._empty, table=table, generation=generation)
                while not self._exclusive(emptied).result():
                    pass
            self._once_unread(partial(drop_generation, generation=generation))

    def _once_unread(self, drop: Callable[[Cursor], None]) -> None:
        """Drop once no one reads what was live until now; let others write meanwhile."""
        while True:
            try:
                self._exclusive(drop).result()
            except StoreBusy:
                time.sleep(READ_S)
            else:
                return

    def _empty(self, cursor: Cursor, table: Table, generation: int) -> bool:
        """Delete rows of a table; return True once none is left, False to let others work."""
        until = time.monotonic() + SLICE_S
        while delete_rows(cursor, table, generation):
            if self._ledger.busy() or time.monotonic() > until:
                return False
        return True


def _end_of_snapshot(began: float) -> float:
    """Return until when a snapshot is read whose first row has come."""
    now = time.monotonic()
    return now + max(SNAPSHOT_S, SNAPSHOT_FACTOR * (now - began))


class _RowWriter:
    """Writes rows into a generation, in large transactions that give way to commands.

    The writer's thread writes one transaction while the rows of the next are folded here.
    """

    def __init__(
        self,
        exclusive: Callable[[Callable[[Cursor], bool]], "Future[bool]"],
        busy: Callable[[], bool],
        generation: int,
    ) -> None:
        self._exclusive = exclusive
        self._busy = busy
        self._generation = generation
        self._gathered: dict[RowKey, Row] = {}
        self._under_way: Future[bool] | None = None
        self._left: list[tuple[RowKey, Row]] = []

    def add(self, more: Rows) -> None:
        self._gathered.update(more)
        if len(self._gathered) >= GATHERED_ROWS:
            self._write()

    def finish(self) -> None:
        """Write the last rows, and wait until all are written."""
        self._write()
        self._settle()

    def _write(self) -> None:
        self._settle()
        self._left = sorted(self._gathered.items(), reverse=True)
        self._gathered = {}
        self._under_way = self._exclusive(self._put_slices)

    def _settle(self) -> None:
        while self._under_way is not None and not self._under_way.result():
            self._under_way = self._exclusive(self._put_slices)

    def _put_slices(self, cursor: Cursor) -> bool:
        """Write until nothing is left (return True) or a command waits (return False)."""
        while self._left:
            put_rows(cursor, self._generation, dict(self._left[-SLICE_ROWS:]))
            del self._left[-SLICE_ROWS:]
            if self._busy():
                break
        return not self._left


_Change = tuple[Rows, list[RowKey]]
"""Rows to put and rows to drop."""


class _News(NamedTuple):
    """Events between two positions: the streams whose rows have changed.

    `before` and `discarded` are the streams that were not shown any more at these positions.
    """

    after: int
    until: int
    before: set[str]
    discarded: set[str]
    streams: list[str]

    def changes(self, streams: Iterable[str], log: Log) -> list[_Change]:
        """Return how the rows of these streams have changed, whatever came later."""
        return [self._change(stream, log) for stream in streams]

    def _change(self, stream: str, log: Log) -> _Change:
        if stream in self.before and stream in self.discarded:
            return {}, []
        try:
            history, known = _history(log, stream, self.after, self.until)
            shown = {} if stream in self.before else rows_of_history(stream, history[:known])
            now = {} if stream in self.discarded else rows_of_history(stream, history)
        except CANNOT_FOLD as error:
            raise unreadable_stream(log, stream, error) from error
        puts = {key: row for key, row in now.items() if shown.get(key) != row}
        return puts, list(shown.keys() - now.keys())


def _write(cursor: Cursor, generation: int, changes: list[_Change]) -> None:
    for puts, drops in changes:
        drop_rows(cursor, generation, drops)
        put_rows(cursor, generation, puts)


def _begin(cursor: Cursor) -> tuple[int, int, bool]:
    """Create the next generation; return the live one, it, and whether the live is outdated."""
    live = live_generation(cursor)
    create_generation(cursor, live + 1)
    return live, live + 1, is_outdated(cursor)


def _require_beginnings(log: Log, discarded: set[str]) -> None:
    """Raise `UnreadableStream` for a stream that is shown, and has lost its first event."""
    for stream in tails(log.cursor()):
        if stream not in discarded:
            raise UnreadableStream(stream, 0, "its first event is not there")


def _history(log: Log, stream: str, after: int, until: int) -> tuple[list[Recorded[Event]], int]:
    """Return the events of a stream up to a position, and how many an earlier one covers."""
    stored = [each for each in log.stream(stream) if each[0] <= until]
    known = sum(position <= after for position, _, _ in stored)
    return [decode(topic, state) for _, topic, state in stored], known


def digest(cursor: Cursor, generation: int) -> str:
    """Return the SHA-256 of all rows of a generation, table by table, in key order."""
    total = hashlib.sha256()
    for table in TABLES:
        total.update(f"{table.name}\n".encode())
        cursor.execute(select_all(table, generation))
        while some := cursor.fetchmany(SLICE_ROWS):
            total.update("\n".join(map(repr, some)).encode())
            total.update(b"\n")
    return total.hexdigest()
