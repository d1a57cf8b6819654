"""Ledger files outside the service: copied as they are, and written to directly."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from ledger.store.seam import Cursor, Row, RowKey, Rows
from ledger.store.sqlite.connections import WAL_PAGES, open_connection
from projections.tables import BY_NAME, upsert
from projections.views.generations import live_generation

INSERT_EVENT = "INSERT INTO stored_events VALUES (?,?,?,?,?,?,?)"
PAGE_BYTES = 4_096
_FILLER = "benchmark_filler"


class Written(NamedTuple):
    """What one transaction writes: rows of `stored_events` and of the read models."""

    events: Sequence[Row]
    rows: Rows


def copy_ledger(file: Path, to: Path) -> None:
    """Copy the ledger as of now into a file of its own, though it may be open."""
    for name in (to.name, f"{to.name}-wal", f"{to.name}-shm"):
        to.with_name(name).unlink(missing_ok=True)
    with closing(open_connection(file, writing=False)) as source:
        target = sqlite3.connect(to)
        with closing(target):
            source.backup(target)


def fill_wal(cursor: Cursor) -> None:
    """Make the WAL as long as it ever gets.

    From then on it is overwritten instead of extended, and a sync is quicker: a benchmark should
    see a service that has run for days, not its first second.
    """
    cursor.execute(f"CREATE TABLE {_FILLER} (filler BLOB)")
    for _ in range(WAL_PAGES // 1_000 + 1):
        cursor.execute(f"INSERT INTO {_FILLER} VALUES (zeroblob({1_000 * PAGE_BYTES}))")  # noqa: S608 - numbers of ours
    cursor.execute(f"DROP TABLE {_FILLER}")


@contextmanager
def opened_raw(file: Path) -> Iterator[sqlite3.Connection]:
    """Open the file with the store's pragmas and a WAL of its usual length."""
    with closing(open_connection(file, writing=True)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        fill_wal(connection.cursor())
        connection.execute("COMMIT")
        yield connection


def events_after(file: Path, position: int) -> list[Row]:
    """Return the rows of `stored_events` after a position, in order."""
    with closing(open_connection(file, writing=False)) as connection:
        return connection.execute(
            "SELECT * FROM stored_events WHERE position > ? ORDER BY position", (position,)
        ).fetchall()


def last_position(file: Path) -> int:
    with closing(open_connection(file, writing=False)) as connection:
        return int(
            connection.execute("SELECT coalesce(max(position), 0) FROM stored_events").fetchone()[0]
        )


def replay(connection: sqlite3.Connection, transactions: Iterable[Written]) -> float:
    """Write what the service wrote, in the same transactions; return the seconds it took."""
    generation = live_generation(connection.cursor())
    prepared = [(part.events, _statements(part.rows, generation)) for part in transactions]
    started = perf_counter()
    for events, puts in prepared:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(INSERT_EVENT, events)
        for statement, rows in puts:
            connection.executemany(statement, rows)
        connection.execute("COMMIT")
    return perf_counter() - started


def commit_singly(connection: sqlite3.Connection, count: int) -> float:
    """Commit one event row after the other; return how many in a second."""
    position, leaves = connection.execute(
        "SELECT max(position), max(leaf_index) FROM stored_events"
    ).fetchone()
    topic, state, leaf = connection.execute(
        "SELECT topic, state, leaf FROM stored_events WHERE position = ?", (position,)
    ).fetchone()
    started = perf_counter()
    for number in range(1, count + 1):
        event = (position + number, leaves + number, "single", number, topic, state, leaf)
        connection.execute(INSERT_EVENT, event)
    return count / (perf_counter() - started)


def _statements(rows: Rows, generation: int) -> list[tuple[str, list[Row]]]:
    """Return an upsert for each table with its sorted rows, as the projection writes them."""
    by_table: dict[str, list[tuple[RowKey, Row]]] = {}
    for key, values in sorted(rows.items(), key=lambda item: item[0]):
        by_table.setdefault(key[0], []).append((key, values))
    return [
        (upsert(BY_NAME[name], generation), [values for _, values in items])
        for name, items in by_table.items()
    ]
