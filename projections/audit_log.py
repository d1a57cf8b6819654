"""From an event to its entry in the audit log of an account.

Each event that an account would want to see in its log has an entry, a row that holds the lines it
is shown as: one for each drive or server. Progress and the like have none.
"""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from ledger.domain.events import Event, Recorded
from ledger.domain.events.drives import (
    DriveChanged,
    DriveCreated,
    DriveDeleted,
    DriveImageFailed,
    DriveResizeFailed,
    DriveResizeStarted,
)
from ledger.domain.events.jobs import JobCancelled, JobCreated, JobFailed
from ledger.domain.events.keypairs import KeypairChanged, KeypairCreated, KeypairDeleted
from ledger.domain.events.profiles import ProfileChanged
from ledger.domain.events.servers import (
    PowerAction,
    ServerChanged,
    ServerCreated,
    ServerDeleted,
    ServerPowerChanged,
)
from ledger.domain.events.tags import TagChanged, TagCreated, TagDeleted
from ledger.domain.operations import OPERATIONS, operation_of
from ledger.domain.producers.failures import failure
from ledger.store.parameters import timestamp
from ledger.store.seam import Rows
from projections.tables import AuditLogRow, keyed


class Line(NamedTuple):
    """What was done to one thing; actions and categories are those of the public API."""

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
    "keypair": "Keypairs",
    "profile": "Profile",
}
_POWER_STEPS: dict[PowerAction, tuple[str, ...]] = {
    "start": ("start_send", "boot"),
    "stop": ("stop_send", "stop"),
    "shutdown": ("stop_send", "stop"),
    "restart": ("stop_send", "stop", "start_send", "boot"),
}


_ACTIONS: dict[type[Event], str] = {
    DriveCreated: "create",
    ServerCreated: "create",
    TagCreated: "create",
    KeypairCreated: "create",
    DriveChanged: "update",
    DriveResizeStarted: "update",
    DriveImageFailed: "fail",
    DriveResizeFailed: "update",
    ServerChanged: "update",
    TagChanged: "update",
    KeypairChanged: "update",
    ProfileChanged: "update",
    DriveDeleted: "delete",
    ServerDeleted: "delete",
    TagDeleted: "delete",
    KeypairDeleted: "delete",
    JobFailed: "fail",
    JobCancelled: "cancel",
}
"""The events that make one line about what their own stream holds."""

ACTIONS = sorted(
    {
        *_ACTIONS.values(),
        *(step for steps in _POWER_STEPS.values() for step in steps),
        *(word for operation in OPERATIONS.values() for word in operation.log.values()),
    }
)
CATEGORIES = sorted(_CATEGORIES.values())

LOGGED_EVENTS = _ACTIONS.keys() | {JobCreated, ServerPowerChanged}
"""The events that may have an entry: a set, because a rebuild looks up millions of others."""


def entries(stream: str, version: int, recorded: Recorded[Event], owner: str) -> Rows:
    """Return the entry of this event; empty for an event that the log leaves out."""
    if type(recorded.event) not in LOGGED_EVENTS:
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
        case DriveCreated(origin="clone"):
            pass  # the clone's job has the line
        case ServerPowerChanged(action=action):
            for step in _POWER_STEPS[action]:
                yield Line(step, category, uuid)
        case DriveImageFailed(error=error) | DriveResizeFailed(error=error):
            yield Line(_ACTIONS[type(event)], category, uuid, error)
        case JobFailed():
            yield Line(_ACTIONS[type(event)], category, uuid, failure(event))
        case _:
            yield Line(_ACTIONS[type(event)], category, uuid)
