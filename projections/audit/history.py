"""The history of one job, as an audit shows it to people and programs."""

from datetime import datetime
from typing import NamedTuple

from ledger.codec import decode, fields_of
from ledger.domain.errors.store import UnknownEvent
from ledger.domain.events.jobs import job_stream
from ledger.store.seam import Log
from projections.audit.findings import CannotReplay


class HistoryLine(NamedTuple):
    """One event of a stream."""

    position: int
    version: int
    recorded_at: datetime
    actor: str
    request_id: str
    event: str
    fields: dict[str, object]


def job_history(log: Log, uuid: str) -> list[HistoryLine]:
    """Return a job's events, oldest first; none if there is no such job. Raise `CannotReplay`."""
    try:
        return [
            _line(position, version, topic, state)
            for version, (position, topic, state) in enumerate(log.stream(job_stream(uuid)), 1)
        ]
    except UnknownEvent as error:
        raise CannotReplay(str(error)) from error


def _line(position: int, version: int, topic: str, state: bytes) -> HistoryLine:
    recorded = decode(topic, state)
    return HistoryLine(
        position,
        version,
        recorded.recorded_at,
        recorded.actor,
        recorded.request_id,
        topic,
        fields_of(recorded.event),
    )
