"""A process that measures `rebuild`, `replay` or `read` of a FILE or URL."""

import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import msgspec
import orjson

from api.data.location import Database, PostgresDatabase, SqliteDatabase
from api.service.environment import ServiceEnvironment
from ledger.application import Ledger
from ledger.domain.errors.store import StoreFailed
from ledger.store.log import streamed
from projections.audit.replay import replay
from projections.maintenance.rebuild import rebuild


class RebuildMeasured(msgspec.Struct, frozen=True):
    """Events in a second, and the peak of the process's resident memory."""

    rate: float
    peak_mib: float


def measure_rebuild(ledger_at: str) -> float:
    """Rebuild as the service does; return events per second."""
    store, projection = _database(ledger_at).open()
    ledger = Ledger(
        store,
        projection,
        ServiceEnvironment({}),
        now=lambda: datetime.now(UTC),
        on_failure=_fail,
    )
    with closing(ledger):
        started = perf_counter()
        done = rebuild(ledger, lambda _done, _total: None)
        seconds = perf_counter() - started
    assert done.before == done.after, "the rebuilt rows differ from the live ones"
    return done.events / seconds


def measure_replay(ledger_at: str) -> float:
    """Replay as an auditor does; return events per second."""
    started = perf_counter()
    done = replay(_database(ledger_at).log, lambda _done, _total: None)
    seconds = perf_counter() - started
    assert done.divergence is None, done.divergence
    return done.events / seconds


def measure_read(ledger_at: str) -> float:
    """SELECT every event in order, and `orjson.loads` it; return events per second."""
    events = 0
    with _database(ledger_at).log() as log:
        started = perf_counter()
        rows = streamed(log.cursor(), "SELECT state FROM stored_events ORDER BY position")
        for (state,) in rows:
            orjson.loads(state)
            events += 1
        return events / (perf_counter() - started)


def _database(ledger_at: str) -> Database:
    in_postgres = ledger_at.startswith("postgresql:")
    return PostgresDatabase(ledger_at) if in_postgres else SqliteDatabase(Path(ledger_at))


def peak_mib() -> float:
    """Return the peak of this process image; `ru_maxrss` includes the one before its exec."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("the kernel does not tell the peak of resident memory")


def _fail(error: StoreFailed) -> None:
    raise error


if __name__ == "__main__":
    rate = {"rebuild": measure_rebuild, "replay": measure_replay, "read": measure_read}[
        sys.argv[1]
    ](sys.argv[2])
    print(msgspec.json.encode(RebuildMeasured(rate, peak_mib())).decode())
