"""In a process of its own: `rebuild`, `replay` or `read` and a FILE; says how it went as JSON."""

import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import msgspec
import orjson

from api.composition import Surroundings
from ledger.application import Ledger
from ledger.errors import StoreFailed
from ledger.store.sqlite import READ_ROWS, SqliteStore, open_connection
from projections.audit.replaying import replay
from projections.rebuild import rebuild
from projections.views.sqlite import SqliteProjection


class Rebuilding(msgspec.Struct, frozen=True):
    """How many events a second, and the most memory that the process ever had resident."""

    rate: float
    peak_mib: float


def rebuilt(file: Path) -> float:
    """Rebuilds as the service does; returns events per second."""
    projection = SqliteProjection()
    ledger = Ledger(
        SqliteStore(file, projection),
        projection,
        Surroundings({}),
        now=lambda: datetime.now(UTC),
        on_failure=_fail,
    )
    with closing(ledger):
        started = perf_counter()
        done = rebuild(ledger, lambda _done, _total: None)
        seconds = perf_counter() - started
    assert done.before == done.after, "the rebuilt rows differ from the live ones"
    return done.events / seconds


def replayed(file: Path) -> float:
    """Replays as an auditor does; returns events per second."""
    started = perf_counter()
    done = replay(file, lambda _done, _total: None)
    seconds = perf_counter() - started
    assert done.divergence is None, done.divergence
    return done.events / seconds


def read(file: Path) -> float:
    """SELECT of every event in order, and `orjson.loads`; returns events per second."""
    events = 0
    with closing(open_connection(file, writing=False)) as connection:
        started = perf_counter()
        cursor = connection.execute("SELECT state FROM stored_events ORDER BY position")
        while some := cursor.fetchmany(READ_ROWS):
            for (state,) in some:
                orjson.loads(state)
            events += len(some)
        return events / (perf_counter() - started)


def peak_mib() -> float:
    """Of this process image alone; `ru_maxrss` would count what was there before its exec."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("the kernel does not tell the peak of resident memory")


def _fail(error: StoreFailed) -> None:
    raise error


if __name__ == "__main__":
    rate = {"rebuild": rebuilt, "replay": replayed, "read": read}[sys.argv[1]](Path(sys.argv[2]))
    print(msgspec.json.encode(Rebuilding(rate, peak_mib())).decode())
