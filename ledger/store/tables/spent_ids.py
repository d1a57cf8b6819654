"""The table of spent ids: the uuids of discarded jobs, with which no other job ever begins.

A client may choose any uuid for its job, also that of a job which it saw long ago and whose events
are in an archive by now. So every discarded id is spent, whoever drew it: no other rule holds
against every client, and a discarded job does not tell who drew its id. Its owner is in the table,
so that nobody else is told of it.
"""

from collections.abc import Mapping, Sequence

from ledger.domain.events.housekeeping import JobsDiscarded
from ledger.store.parameters import marks
from ledger.store.seam import Cursor
from ledger.store.tables.streams import events_of_kind

ADD_ALL = (
    "INSERT INTO spent_ids SELECT * FROM unnest(%s::text[], %s::text[])"
    " ON CONFLICT (uuid) DO UPDATE SET owner = coalesce(spent_ids.owner, excluded.owner)"
)
"""For psycopg alone, as the next one."""
NONE_IS_SPENT = (
    "SELECT 1 / (CASE WHEN EXISTS (SELECT 1 FROM spent_ids WHERE uuid = ANY(%s::text[]))"
    " THEN 0 ELSE 1 END)"
)
"""Fail by a division by zero if one is: a pipeline shows no results before its end."""


def is_spent(cursor: Cursor, job: str) -> bool:
    cursor.execute("SELECT 1 FROM spent_ids WHERE uuid = ?", (job,))
    return cursor.fetchone() is not None


def owner_of(cursor: Cursor, job: str) -> str | None:
    """Return whose job it was that was discarded, as far as that is known."""
    cursor.execute("SELECT owner FROM spent_ids WHERE uuid = ?", (job,))
    found = cursor.fetchone()
    return None if found is None else found[0]


def none_is_spent(cursor: Cursor, jobs: Sequence[str]) -> bool:
    """Return whether none of these few jobs was discarded."""
    cursor.execute(f"SELECT 1 FROM spent_ids WHERE uuid IN ({marks(jobs)}) LIMIT 1", jobs)  # noqa: S608 - marks
    return cursor.fetchone() is None


def add(cursor: Cursor, jobs: Mapping[str, str | None]) -> None:
    """Spend the ids of jobs, each with its owner; what is known of those that are spent stays."""
    cursor.executemany(
        "INSERT INTO spent_ids VALUES (?, ?)"
        " ON CONFLICT (uuid) DO UPDATE SET owner = coalesce(spent_ids.owner, excluded.owner)",
        list(jobs.items()),
    )


def add_stored(cursor: Cursor) -> None:
    """Spend the ids of all jobs of which the store itself says that they were discarded."""
    for recorded in events_of_kind(cursor, "sweep", 0):
        assert isinstance(recorded.event, JobsDiscarded)
        for tree in recorded.event.trees:
            add(cursor, dict.fromkeys(tree.jobs))


def archives(cursor: Cursor) -> set[str]:
    """Return the archives of whose jobs the ids are known to be spent."""
    cursor.execute("SELECT archive FROM spent_archives")
    return {archive for (archive,) in cursor.fetchall()}


def add_archive(cursor: Cursor, archive: str) -> None:
    cursor.execute("INSERT INTO spent_archives VALUES (?) ON CONFLICT DO NOTHING", (archive,))
