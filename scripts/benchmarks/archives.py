"""The size of an archive for each event, against the rows of the events in the store.

The rows are those of `stored_events` with its indexes, in a database of their own, written in order
of positions: as few pages as SQLite can do with.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from time import perf_counter

from ledger.archives import Archive, ArchivedJob, ArchivedTree, Written, write_archive
from ledger.codec import decode
from ledger.domain.events.jobs import JobCreated
from ledger.store.sqlite.connections import sqlite_reader
from scripts.benchmarks.support.histories import OWNER, make_ledger
from scripts.benchmarks.support.rows import Round, Row, row
from scripts.benchmarks.support.scale import Setting

LONG, SHORT = 100, 25


def archive(setting: Setting) -> Row:
    """Histories of 100 events, as long clones have."""
    return _archive("archive", setting, LONG)


def archive_short(setting: Setting) -> Row:
    """Histories of 25 events: four times as many jobs, trees and streams."""
    return _archive("archive-short", setting, SHORT)


def _archive(name: str, setting: Setting, each: int) -> Row:
    scale, directory = setting
    file = directory / "ledger.sqlite"
    events = make_ledger(file, scale.archived_events, each)
    raw = _bytes_of_rows(file, directory / "rows.sqlite")
    rounds, written_s, read_s = [], [], []
    for _ in range(scale.archives):
        written, seconds = _write_archive(file, directory)
        rounds.append(Round(written.bytes / events, raw / events))
        written_s.append(seconds)
        read_s.append(_read_s(directory, written))
    note = (
        f"{events:,} events, {each} a job; {events / min(written_s):,.0f} events/s written,"
        f" {events / min(read_s):,.0f} read back and checked"
    )
    return row(name, "bytes/event", rounds, at_least=8, note=note, lower_is_better=True)


def _bytes_of_rows(ledger: Path, rows: Path) -> int:
    with closing(sqlite3.connect(rows)) as connection:
        connection.execute("ATTACH ? AS ledger", (str(ledger),))
        (table,) = connection.execute(
            "SELECT sql FROM ledger.sqlite_master WHERE name = 'stored_events'"
        ).fetchone()
        connection.execute(table)
        connection.execute(
            "INSERT INTO stored_events SELECT * FROM ledger.stored_events ORDER BY position"
        )
        connection.commit()
    return rows.stat().st_size


def _write_archive(ledger: Path, directory: Path) -> tuple[Written, float]:
    """Write an archive of all events as a compaction does; return it and the seconds."""
    with sqlite_reader(ledger).log() as log:
        trees = list(_trees(log.by_stream(), log.last_position()))
    with sqlite_reader(ledger).log() as log:
        started = perf_counter()
        written = write_archive(directory, "all", log.events(), trees)
        return written, perf_counter() - started


def _read_s(directory: Path, written: Written) -> float:
    started = perf_counter()
    Archive.open(directory / f"{written.name}.jsonl.zst").check(written.digest)
    return perf_counter() - started


def _trees(events: Iterator[tuple[str, str, bytes]], last: int) -> Iterator[ArchivedTree]:
    """Yield a tree for each job, as a sweep records them, at about the right positions."""
    for position, (stream, topic, state) in enumerate(events, start=1):
        recorded = decode(topic, state)
        if isinstance(recorded.event, JobCreated):
            at = recorded.recorded_at
            job = ArchivedJob(
                stream.removeprefix("job-"), position, position, at, at, None, "success"
            )
            yield ArchivedTree(OWNER, (job,), at, last)
