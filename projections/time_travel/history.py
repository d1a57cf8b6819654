"""The events of one job, wherever they are stored now."""

from ledger.archives import Shelf
from ledger.codec import decode
from ledger.domain.events.jobs import JobCreated, job_stream
from ledger.store.seam import LoggedEvent
from ledger.store.tables.streams import stream_events
from projections.views.snapshot import Snapshot


def history(snapshot: Snapshot, archives: Shelf, job: str, owner: str) -> list[LoggedEvent] | None:
    """Return every event of the job, oldest first; None if the account had no such job.

    A discarded job has a history as long as the store or an archive has its events.
    """
    stream = job_stream(job)
    events = None if snapshot.has_job(job) else archives.stream(stream)
    events = events or stream_events(snapshot.cursor, stream)
    return events if events and _owner(events[0]) == owner else None


def _owner(first: LoggedEvent) -> str:
    event = decode(first.topic, first.state).event
    assert isinstance(event, JobCreated)
    return event.owner
