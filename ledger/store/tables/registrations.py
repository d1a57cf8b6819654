"""How jobs were registered: the beginnings of their streams, which never change."""

from typing import NamedTuple

from ledger.codec import decode
from ledger.domain.events.jobs import JobCreated, job_stream
from ledger.domain.events.producers import JobRegistered
from ledger.store.seam import Cursor


class Registration(NamedTuple):
    """Whose job it is, and what was registered; None if no producer did."""

    owner: str
    registered: JobRegistered | None


def find(cursor: Cursor, job: str) -> Registration | None:
    """Return the registration of a job whose events are there."""
    cursor.execute(
        "SELECT topic, state FROM stored_events WHERE originator_id = ?"
        " AND originator_version <= 2 ORDER BY originator_version",
        (job_stream(job),),
    )
    events = [decode(topic, bytes(state)).event for topic, state in cursor.fetchall()]
    if not events or not isinstance(events[0], JobCreated):
        return None
    second = events[1] if len(events) > 1 else None
    return Registration(events[0].owner, second if isinstance(second, JobRegistered) else None)
