"""The queue of tasks in PostgreSQL, which is Procrastinate's.

Procrastinate's tables are created with the ledger's, and changed by its own scripts, each of them
once. Tasks are deferred by its function in the transaction of the events that they follow from, so
neither is there without the other. After that only workers touch them (`ledger.workers.engine`).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import orjson
import psycopg
from procrastinate.schema import SchemaManager, migrations_path
from psycopg.rows import TupleRow

from ledger.domain import image_tasks as tasks
from ledger.domain.image_tasks import Task
from ledger.store.postgres.cursor import PgConnection

Connection = psycopg.Connection[TupleRow]

TABLES = Path(__file__).with_name("task_queue.sql")
CHECKING = 0x6C6F6F6B
"""The lock for finding missing tasks; the letters are `look`."""

_DEFER = """
SELECT procrastinate_defer_jobs_v1(array_agg(
    ROW(queue, kind, 0, NULL, NULL, about::jsonb, NULL)::procrastinate_job_to_defer_v1 ORDER BY nth
))
FROM unnest(%s::text[], %s::text[], %s::text[]) WITH ORDINALITY AS new (queue, kind, about, nth)
"""
"""Without Procrastinate's locks, which nothing here needs: with them it took seconds to take one of
20,000 tasks that had just been deferred, until the planner knew of them."""
_UNFINISHED = """
SELECT task_name, args FROM procrastinate_jobs
WHERE status IN ('todo', 'doing') AND task_name = ANY(%s)
"""


def create(connection: Connection) -> None:
    """Create what is missing, and bring Procrastinate's tables up to date; in a transaction.

    Only forward: scripts that a later version has run are left alone.
    """
    connection.execute(_script(TABLES))
    done = {name for (name,) in connection.execute("SELECT name FROM task_migrations").fetchall()}
    scripts = sorted(migrations_path.glob("*.sql"))
    if not done:
        connection.execute(SchemaManager.get_schema())  # the result of all scripts
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


def defer(connection: Connection, new: Sequence[Task]) -> None:
    """Put the tasks into their queues; workers are notified at the commit."""
    if not new:
        return
    written = [tasks.encode_task(task) for task in new]
    connection.execute(
        _DEFER,
        (
            [tasks.queue_of(task) for task in new],
            [kind for kind, _ in written],
            [orjson.dumps(about).decode() for _, about in written],
        ),
    )


@contextmanager
def lock_for_check(connection: PgConnection) -> Iterator[bool]:
    """Begin a transaction in which no other process checks; yield False if one is checking."""
    with connection.raw.transaction():
        (alone,) = connection.raw.execute(
            "SELECT pg_try_advisory_xact_lock(%s)", (CHECKING,)
        ).fetchall()[0]
        yield alone


def streams_at_work(connection: PgConnection) -> set[str]:
    """Return the streams with a task that waits or is being done."""
    rows = connection.raw.execute(_UNFINISHED, (list(tasks.KINDS),)).fetchall()
    return {tasks.stream_of(tasks.decode_task(kind, about)) for kind, about in rows}
