"""A rebuild of all read models, and a replay by an auditor, against reading and parsing alone.

All run in processes of their own, which report how much memory they took.
"""

from contextlib import closing
from pathlib import Path
from statistics import median

import msgspec

from ledger.store.postgres.store import PostgresStore
from projections.views.postgres_writer import PostgresProjection
from scripts.benchmarks.support.databases import databases
from scripts.benchmarks.support.histories import fill, make_ledger
from scripts.benchmarks.support.processes import python
from scripts.benchmarks.support.rebuild_process import RebuildMeasured
from scripts.benchmarks.support.rows import Round, Row, row
from scripts.benchmarks.support.scale import Setting

LONG, SHORT = 100, 25
_decode = msgspec.json.Decoder(RebuildMeasured).decode


def rebuild(setting: Setting) -> Row:
    """Histories of 100 events, as long clones have."""
    return _measure("rebuild", "rebuild", setting, LONG)


def rebuild_short(setting: Setting) -> Row:
    """Histories of 25 events: four times the rows to write."""
    return _measure("rebuild-short", "rebuild", setting, SHORT)


def replay(setting: Setting) -> Row:
    """Check all events against each other and the rows; histories of 100 events."""
    return _measure("replay", "replay", setting, LONG)


def rebuild_postgres(setting: Setting) -> Row:
    """A rebuild of histories of 100 events in PostgreSQL."""
    scale, directory = setting
    with databases(directory / "postgres") as urls:
        url = next(urls)
        with closing(PostgresStore(url, PostgresProjection())) as store:
            events = fill(store, scale.rebuilt_events, LONG)
        rounds, peaks = [], []
        for _ in range(scale.rebuilds):
            floor, done = _run("read", url), _run("rebuild", url)
            rounds.append(Round(done.rate, floor.rate))
            peaks.append(done.peak_mib)
    note = f"{events:,} events, {LONG} a job; peak memory {median(peaks):.0f} MiB"
    return row("rebuild-postgres", "events/s", rounds, at_least=None, note=note)


def _measure(name: str, what: str, setting: Setting, each: int) -> Row:
    scale, directory = setting
    small, large = directory / "small.sqlite", directory / "large.sqlite"
    make_ledger(small, scale.rebuilt_events // 10, each)
    events = make_ledger(large, scale.rebuilt_events, each)
    rounds, peaks = [], []
    for _ in range(scale.rebuilds):
        floor, done = _run("read", large), _run(what, large)
        rounds.append(Round(done.rate, floor.rate))
        peaks.append(done.peak_mib)
    of_small = _run(what, small)
    note = (
        f"{events:,} events, {each} a job, 64 jobs interleaved; peak memory"
        f" {median(peaks):.0f} MiB, with a tenth of them {of_small.peak_mib:.0f} MiB"
    )
    return row(name, "events/s", rounds, at_least=0.3, note=note)


def _run(what: str, ledger_at: Path | str) -> RebuildMeasured:
    return _decode(python("scripts.benchmarks.support.rebuild_process", what, str(ledger_at)))
