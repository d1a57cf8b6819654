"""From an event to the entry of the audit log that tells of it.

An entry is a row of its own for each event that an account would want to see in its log; the lines
it is shown as, one for each drive or server, are in it. Progress and the like have none.
"""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from ledger.domain.events import (
    DriveChanged,
    DriveCreated,
    DriveDeleted,
    DriveResizeFailed,
    DriveResizeStarted,
    Event,
    JobCancelled,
    JobCreated,
    JobFailed,
    PowerAction,
    ProfileChanged,
    Recorded,
    ServerChanged,
    ServerCreated,
    ServerDeleted,
    ServerPowerChanged,
    TagChanged,
    TagCreated,
    TagDeleted,
)
from ledger.domain.operations import operation_of
from ledger.store.seam import Rows
from projections.rows import timestamp
from projections.tables import AuditLogRow, keyed


class Line(NamedTuple):
    """What was done to one thing; the actions are those of the public API, and its categories."""

    action: str
    category: str
    uuid: str
    error: str = ""


_encoder = msgspec.json.Encoder()
_CATEGORIES = {
    "drive": "Drives",
    "server": "Servers",
    "job": "Jobs",
    "tag": "Tags",
    "profile": "Profile",
}
_SWITCHED: dict[PowerAction, tuple[str, ...]] = {
    "start": ("start_send", "boot"),
    "stop": ("stop_send", "stop"),
    "shutdown": ("stop_send", "stop"),
    "restart": ("stop_send", "stop", "start_send", "boot"),
}


TELLING = frozenset(
    {
        DriveChanged,
        DriveCreated,
        DriveDeleted,
        DriveResizeFailed,
        DriveResizeStarted,
        JobCancelled,
        JobCreated,
        JobFailed,
        ProfileChanged,
        ServerChanged,
        ServerCreated,
        ServerDeleted,
        ServerPowerChanged,
        TagChanged,
        TagCreated,
        TagDeleted,
    }
)
"""The events that have an entry: a set, because a rebuild looks at millions of others."""


def entries(stream: str, version: int, recorded: Recorded[Event], owner: str) -> Rows:
    """The entry that tells of this event, if it is worth telling."""
    if type(recorded.event) not in TELLING:
        return {}
    kind, _, uuid = stream.partition("-")
    lines = tuple(_lines(recorded.event, _CATEGORIES[kind], uuid))
    if not lines:
        return {}
    at = timestamp(recorded.recorded_at)
    return keyed(AuditLogRow(owner, at, stream, version, recorded.actor, _encoder.encode(lines)))


def _lines(event: Event, category: str, uuid: str) -> Iterator[Line]:
    match event:
        case JobCreated(operation=name, resources=resources):
            words = operation_of(name).log
            for named in resources:
                if named.role in words:
                    yield Line(words[named.role], named.kind.capitalize(), named.uuid)
        case DriveCreated() | ServerCreated() | TagCreated():
            # A clone's beginning is told by its job.
            if not (isinstance(event, DriveCreated) and event.origin == "clone"):
                yield Line("create", category, uuid)
        case DriveChanged() | DriveResizeStarted() | ServerChanged() | TagChanged():
            yield Line("update", category, uuid)
        case ProfileChanged():
            yield Line("update", category, uuid)
        case DriveResizeFailed(error=error):
            yield Line("update", category, uuid, error)
        case DriveDeleted() | ServerDeleted() | TagDeleted():
            yield Line("delete", category, uuid)
        case ServerPowerChanged(action=action):
            for switched in _SWITCHED[action]:
                yield Line(switched, category, uuid)
        case JobFailed(error=error):
            yield Line("fail", category, uuid, error)
        case JobCancelled():
            yield Line("cancel", category, uuid)
        case _:
            pass
