"""Tasks in PostgreSQL: their queue, which is Procrastinate's.

Procrastinate's tables are made with the ledger's, and changed by its own scripts, each of them
once. Tasks are deferred by its function in the transaction of the events that they follow from, so
that neither is there without the other; then only workers touch them (`ledger.workers.engine`).
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
LOOKING = 0x6C6F6F6B
"""A lock of whoever looks for tasks that are missing; the letters are `look`."""

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
    written = [tasks.encode_task(task) for task in following]
    connection.execute(
        _DEFER,
        (
            [tasks.queue_of(task) for task in following],
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
    return {tasks.stream_of(tasks.decode_task(kind, about)) for kind, about in rows}
