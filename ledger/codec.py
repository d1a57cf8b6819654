"""The closed table between events and their stored form.

An event is stored under a short stable name and the version of its shape (`job-created/1`), never
under a module path: code may move, stored names may not. A changed shape gets the next version and
an upcast that turns the old fields into the new; every version ever written stays in the table. The
stored bytes are JSON of `Recorded`: the envelope and the event's fields.
"""

import hashlib
from collections.abc import Callable, Iterable
from datetime import datetime

import msgspec
from eventsourcing.persistence import StoredEvent
from msgspec.structs import astuple

from ledger.domain.errors.store import UnknownEvent
from ledger.domain.events import (
    Event,
    Recorded,
    drives,
    housekeeping,
    jobs,
    keypairs,
    producers,
    profiles,
    servers,
    tags,
    tokens,
    values,
)

_CURRENT: dict[type[Event], str] = {
    jobs.JobCreated: "job-created/2",
    jobs.ChildAttached: "child-attached/1",
    jobs.JobAttemptStarted: "job-attempt-started/2",
    jobs.JobAttemptLost: "job-attempt-lost/2",
    jobs.ProgressUpdated: "progress-updated/2",
    jobs.ChildEnded: "child-ended/1",
    jobs.JobSucceeded: "job-succeeded/2",
    jobs.JobFailed: "job-failed/2",
    jobs.JobCancelled: "job-cancelled/2",
    jobs.JobLabelled: "job-labelled/1",
    producers.JobRegistered: "job-registered/1",
    producers.ProgressReported: "progress-reported/1",
    producers.JobAttemptReturned: "job-attempt-returned/1",
    producers.JobAttemptFailed: "job-attempt-failed/1",
    producers.JobSealed: "job-sealed/1",
    producers.JobCancelRequested: "job-cancel-requested/1",
    producers.JobCancelSeen: "job-cancel-seen/1",
    producers.JobSkipped: "job-skipped/1",
    producers.LateReportRecorded: "late-report-recorded/1",
    producers.JobTextsRemoved: "job-texts-removed/1",
    drives.DriveCreated: "drive-created/1",
    drives.DriveReady: "drive-ready/1",
    drives.DriveImageFailed: "drive-image-failed/1",
    drives.DriveChanged: "drive-changed/1",
    drives.DriveResizeStarted: "drive-resize-started/1",
    drives.DriveResized: "drive-resized/1",
    drives.DriveResizeFailed: "drive-resize-failed/1",
    drives.DriveDeleted: "drive-deleted/1",
    servers.ServerCreated: "server-created/1",
    servers.ServerChanged: "server-changed/2",
    servers.ServerPowerChanged: "server-power-changed/2",
    servers.ServerDeleted: "server-deleted/1",
    tags.TagCreated: "tag-created/1",
    tags.TagChanged: "tag-changed/1",
    tags.ResourceTagged: "resource-tagged/1",
    tags.ResourceUntagged: "resource-untagged/1",
    tags.TagDeleted: "tag-deleted/1",
    keypairs.KeypairCreated: "keypair-created/1",
    keypairs.KeypairChanged: "keypair-changed/1",
    keypairs.KeypairDeleted: "keypair-deleted/1",
    profiles.ProfileChanged: "profile-changed/1",
    tokens.TokenIssued: "token-issued/1",
    tokens.TokenRemoved: "token-removed/1",
    housekeeping.RetentionPolicySet: "retention-policy-set/2",
    housekeeping.JobsDiscarded: "jobs-discarded/1",
    housekeeping.ArchiveWritten: "archive-written/1",
    housekeeping.LedgerCompacted: "ledger-compacted/1",
    housekeeping.LedgerRestored: "ledger-restored/1",
    housekeeping.StreamParked: "stream-parked/1",
    housekeeping.StreamReleased: "stream-released/1",
}

Decode = Callable[[bytes], Recorded[Event]]


def _decoder(event: type[Event]) -> Decode:
    decode: Decode = msgspec.json.Decoder(Recorded[event]).decode  # type: ignore[valid-type]
    return decode


class _JobCreated1(values.Closed, frozen=True):
    """`job-created/1`: a job learned by its first report how much there was to copy."""

    operation: jobs.OperationName
    owner: str
    resources: tuple[jobs.Resource, ...]
    root: str
    parent: str | None = None
    ordinal: int = 0


def _job_created_1(state: bytes) -> Recorded[Event]:
    old = msgspec.json.decode(state, type=Recorded[_JobCreated1])
    event = jobs.JobCreated(*astuple(old.event))
    return Recorded(old.recorded_at, old.actor, old.request_id, event)


class _ProgressUpdated1(values.Closed, frozen=True):
    """`progress-updated/1`: verification was not reported."""

    attempt: int
    progress: int
    bytes_done: int
    bytes_total: int
    offset: int


def _progress_updated_1(state: bytes) -> Recorded[Event]:
    old = msgspec.json.decode(state, type=Recorded[_ProgressUpdated1])
    event = jobs.ProgressUpdated(*astuple(old.event))
    return Recorded(old.recorded_at, old.actor, old.request_id, event)


class _ServerChanged1(values.Closed, frozen=True):
    """`server-changed/1`: the mounts were all that could change."""

    mounts: tuple[servers.Mount, ...]


def _server_changed_1(state: bytes) -> Recorded[Event]:
    old = msgspec.json.decode(state, type=Recorded[_ServerChanged1])
    event = servers.ServerChanged(mounts=old.event.mounts)
    return Recorded(old.recorded_at, old.actor, old.request_id, event)


DECODERS: dict[str, Decode] = {
    **{topic: _decoder(event) for event, topic in _CURRENT.items()},
    "job-created/1": _job_created_1,
    "progress-updated/1": _progress_updated_1,
    # Their fields are the same in the next version, which may have more.
    "job-attempt-started/1": _decoder(jobs.JobAttemptStarted),
    "job-attempt-lost/1": _decoder(jobs.JobAttemptLost),
    "job-succeeded/1": _decoder(jobs.JobSucceeded),
    "job-failed/1": _decoder(jobs.JobFailed),
    "job-cancelled/1": _decoder(jobs.JobCancelled),
    "retention-policy-set/1": _decoder(housekeeping.RetentionPolicySet),  # it knew no series
    "server-changed/1": _server_changed_1,
    "server-power-changed/1": _decoder(servers.ServerPowerChanged),  # it had no addresses
}
"""How each stored name is read; a superseded version is read by its upcast."""

_encoder = msgspec.json.Encoder()


def encode(stream: str, version: int, recorded: Recorded[Event]) -> StoredEvent:
    """Return the stored form of an event at a version of a stream."""
    return StoredEvent(
        originator_id=stream,
        originator_version=version,
        topic=_CURRENT[type(recorded.event)],
        state=_encoder.encode(recorded),
    )


def decode(topic: str, state: bytes) -> Recorded[Event]:
    """Return the event that was stored as these bytes.

    Raise `UnknownEvent` if the table lacks the name or its version, or the bytes do not fit it.
    """
    decoder = DECODERS.get(topic)
    if decoder is None:
        raise UnknownEvent(f"no event is stored under the name {topic}")
    try:
        return decoder(state)
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise UnknownEvent(f"not a {topic}: {error}") from error


class _Stamped(msgspec.Struct, gc=False):
    """The one wanted field of an envelope; the rest is skipped."""

    recorded_at: datetime


_stamped = msgspec.json.Decoder(_Stamped).decode


def recorded_at(state: bytes) -> datetime:
    """Return when an event was recorded, whatever event it is.

    Raise `UnknownEvent` if the bytes do not say.
    """
    try:
        at = _stamped(state).recorded_at
    except (msgspec.MsgspecError, ValueError) as error:
        raise UnknownEvent(f"no event: {error}") from error
    if at.tzinfo is None:
        raise UnknownEvent("an event is stamped with no time zone")
    return at


def name_of(topic: str) -> str:
    """Return the name of an event, which is the same in all versions of its shape."""
    return topic.partition("/")[0]


def names_of(events: Iterable[type[Event]]) -> frozenset[str]:
    return frozenset(name_of(_CURRENT[event]) for event in events)


def topics_of(events: Iterable[type[Event]]) -> tuple[str, ...]:
    """Return the names under which these events are stored, in all versions of their shapes."""
    names = names_of(events)
    return tuple(topic for topic in DECODERS if name_of(topic) in names)


def leaf_hash(stream: str, version: int, topic: str, state: bytes) -> bytes:
    """Hash the exact stored bytes as a leaf of a Merkle tree (RFC 6962, section 2.1)."""
    head = f"{stream}\n{version}\n{topic}\n".encode()
    return hashlib.sha256(b"\x00" + head + state).digest()


def leaf_of(event: StoredEvent) -> bytes:
    """Return the leaf hash of a stored event."""
    return leaf_hash(str(event.originator_id), event.originator_version, event.topic, event.state)


def fields_of(event: Event) -> dict[str, object]:
    """Return the fields of an event as JSON values."""
    fields: dict[str, object] = msgspec.to_builtins(event)
    return fields
