"""Tasks in PostgreSQL: their queue, which is Procrastinate's, and the pools that workers have.

Procrastinate's tables are made with the ledger's, and changed by its own scripts, each of them
once. Tasks are deferred by its function in the transaction of the events that they follow from, so
that neither is there without the other; then only workers touch them (`ledger.workers.engine`).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import orjson
import psycopg
from procrastinate.schema import SchemaManager, migrations_path
from psycopg.rows import TupleRow

from ledger import tasks
from ledger.store.pg_cursor import PgConnection
from ledger.tasks import Task
from ledger.world import PoolSpace

Connection = psycopg.Connection[TupleRow]

TABLES = Path(__file__).with_name("tasks.sql")
LOOKING = 0x6C6F6F6B
"""A lock of whoever looks for tasks that are missing; the letters are `look`."""
POOLS_KEPT = timedelta(days=1)
"""How long it is known which pools a worker had that is not seen any more."""

_DEFER = """
SELECT procrastinate_defer_jobs_v1(array_agg(
    ROW(queue, kind, 0, NULL, NULL, about::jsonb, NULL)::procrastinate_job_to_defer_v1 ORDER BY nth
))
FROM unnest(%s::text[], %s::text[], %s::text[]) WITH ORDINALITY AS new (queue, kind, about, nth)
"""
"""Without Procrastinate's locks: with them, taking one of 20,000 tasks that have just been deferred
took seconds, until the planner knew of them. Nothing here needs them."""
_WAITING = """
SELECT task_name, args FROM procrastinate_jobs
WHERE status IN ('todo', 'doing') AND task_name = ANY(%s)
"""
_TELL_POOLS = """
INSERT INTO pools SELECT %s, pool, storage_type, free_bytes
FROM unnest(%s::text[], %s::text[], %s::bigint[]) AS new (pool, storage_type, free_bytes)
ON CONFLICT (worker, pool) DO UPDATE SET
    storage_type = excluded.storage_type, free_bytes = excluded.free_bytes, seen = now()
"""
_SEEN_POOLS = """
SELECT worker, pool, storage_type, free_bytes FROM pools WHERE seen > now() - %s
ORDER BY seen, worker, pool
"""


def create(connection: Connection) -> None:
    """Makes what is missing, and brings Procrastinate's tables up to date; in a transaction.

    Only forward: scripts that a later version has run are left alone.
    """
    connection.execute(_script(TABLES))
    done = {name for (name,) in connection.execute("SELECT name FROM task_migrations").fetchall()}
    scripts = sorted(migrations_path.glob("*.sql"))
    if not done:
        connection.execute(SchemaManager.get_schema())  # which is where all scripts lead
    else:
        for script in scripts:
            if script.name not in done:
                connection.execute(_script(script))
    connection.execute(
        "INSERT INTO task_migrations SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING",
        ([script.name for script in scripts],),
    )


def _script(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def defer(connection: Connection, following: Sequence[Task]) -> None:
    """Puts the tasks into their queues, in one statement; workers hear of them at the commit."""
    if not following:
        return
    written = [tasks.written(task) for task in following]
    connection.execute(
        _DEFER,
        (
            [tasks.queue(task) for task in following],
            [kind for kind, _ in written],
            [orjson.dumps(about).decode() for _, about in written],
        ),
    )


@contextmanager
def looking(connection: PgConnection) -> Iterator[bool]:
    """A transaction in which nobody else looks; False if somebody does."""
    with connection.raw.transaction():
        (alone,) = connection.raw.execute(
            "SELECT pg_try_advisory_xact_lock(%s)", (LOOKING,)
        ).fetchall()[0]
        yield alone


def streams_at_work(connection: PgConnection) -> set[str]:
    """The streams about which a task waits or is being done."""
    rows = connection.raw.execute(_WAITING, (list(tasks.KINDS),)).fetchall()
    return {tasks.stream(tasks.read(kind, about)) for kind, about in rows}


class SeenPool(NamedTuple):
    """A pool that a worker has, or had a short while ago."""

    worker: str
    space: PoolSpace


def identify(connection: PgConnection, pool: str, identity: str) -> str:
    """The identity of the pool of this name, which is the one given if it had none."""
    connection.raw.execute(
        "INSERT INTO pool_identities VALUES (%s, %s) ON CONFLICT DO NOTHING", (pool, identity)
    )
    found = connection.raw.execute("SELECT identity FROM pool_identities WHERE pool = %s", (pool,))
    return str(found.fetchall()[0][0])


def tell_pools(connection: PgConnection, worker: str, spaces: Sequence[PoolSpace]) -> None:
    """Says which pools a worker has now."""
    columns = (
        [space.name for space in spaces],
        [space.storage_type for space in spaces],
        [space.free_bytes for space in spaces],
    )
    connection.raw.execute(_TELL_POOLS, (worker, *columns))
    connection.raw.execute("DELETE FROM pools WHERE seen < now() - %s", (POOLS_KEPT,))


def seen_pools(connection: PgConnection, within: timedelta) -> list[SeenPool]:
    """The pools of all workers that were seen within this time, those seen last at the end."""
    rows = connection.raw.execute(_SEEN_POOLS, (within,)).fetchall()
    return [
        SeenPool(worker, PoolSpace(pool, storage_type, free_bytes, here=False))
        for worker, pool, storage_type, free_bytes in rows
    ]
