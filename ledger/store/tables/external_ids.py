"""The table of external ids: which job an account has registered under the id of another system.

One account has one job for a source and an id of it, whichever node registers it: by the key of the
table only one transaction wins, and whoever loses decides again and finds the job. A job that is
discarded gives its id back.
"""

from collections.abc import Mapping, Sequence

from ledger.domain.producers.external_ids import ExternalId
from ledger.store.parameters import VALUES_MAX, marks, sliced
from ledger.store.seam import Cursor

DROP_ALL = "DELETE FROM external_ids WHERE job = ANY(%s::text[])"
"""For psycopg alone."""
_ADD = "INSERT INTO external_ids VALUES (?, ?, ?, ?)"


def job_of(cursor: Cursor, wanted: ExternalId) -> str | None:
    """Return the job that was registered under this id."""
    cursor.execute(
        "SELECT job FROM external_ids WHERE owner = ? AND source = ? AND external_id = ?", wanted
    )
    found = cursor.fetchone()
    return None if found is None else str(found[0])


def add(cursor: Cursor, jobs: Mapping[ExternalId, str]) -> None:
    """Take the ids for these jobs; fail if one is taken."""
    if jobs:
        cursor.executemany(_ADD, [(*taken, jobs[taken]) for taken in sorted(jobs)])


def drop(cursor: Cursor, jobs: Sequence[str]) -> None:
    """Give back the ids of jobs that are discarded."""
    for some in sliced(jobs, VALUES_MAX):
        cursor.execute(f"DELETE FROM external_ids WHERE job IN ({marks(some)})", some)  # noqa: S608 - marks
