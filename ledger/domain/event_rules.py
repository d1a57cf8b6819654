"""Whether an event may follow what came before it in its stream.

Decisions never yield an illegal event; this module checks it a second time, from the record alone,
so that an auditor need not trust the code that decided.
"""

from collections.abc import Mapping
from typing import assert_never

from ledger.domain.aggregates import Aggregate
from ledger.domain.aggregates.drive import Drive
from ledger.domain.aggregates.housekeeping import Compaction, Parking, Policy, Restoration, Sweep
from ledger.domain.aggregates.job import ENDINGS, Job
from ledger.domain.aggregates.keypair import Keypair
from ledger.domain.aggregates.profile import Profile
from ledger.domain.aggregates.server import Server
from ledger.domain.aggregates.tag import Tag
from ledger.domain.aggregates.token import Token
from ledger.domain.events import Event
from ledger.domain.events.drives import (
    DriveChanged,
    DriveCreated,
    DriveDeleted,
    DriveImageFailed,
    DriveReady,
    DriveResized,
    DriveResizeFailed,
    DriveResizeStarted,
)
from ledger.domain.events.housekeeping import (
    ArchiveWritten,
    JobsDiscarded,
    LedgerCompacted,
    LedgerRestored,
    RetentionPolicySet,
    StreamParked,
    StreamReleased,
)
from ledger.domain.events.jobs import (
    ChildAttached,
    ChildEnded,
    JobAttemptLost,
    JobAttemptStarted,
    JobCancelled,
    JobCreated,
    JobFailed,
    JobLabelled,
    JobSucceeded,
    ProgressUpdated,
)
from ledger.domain.events.keypairs import KeypairChanged, KeypairCreated, KeypairDeleted
from ledger.domain.events.producers import JobRegistered
from ledger.domain.events.profiles import ProfileChanged
from ledger.domain.events.servers import (
    ServerChanged,
    ServerCreated,
    ServerDeleted,
    ServerPowerChanged,
)
from ledger.domain.events.tags import (
    ResourceTagged,
    ResourceUntagged,
    TagChanged,
    TagCreated,
    TagDeleted,
)
from ledger.domain.events.tokens import TokenIssued, TokenRemoved
from ledger.domain.labels import CHANGES_MOST, LABELS_MOST, changed, wrong_label
from ledger.domain.producers import rules as producers

_FIRST = {
    "job": JobCreated,
    "drive": DriveCreated,
    "server": ServerCreated,
    "tag": TagCreated,
    "keypair": KeypairCreated,
    "compaction": ArchiveWritten,
}
_ONLY = {
    "profile": ProfileChanged,
    "token": TokenIssued | TokenRemoved,
    "policy": RetentionPolicySet,
    "sweep": JobsDiscarded,
    "restoration": LedgerRestored,
    "parking": StreamParked | StreamReleased,
}
"""Streams that no particular event begins: any of their own events may be the first."""
FULL = 100
TREES_MOST = 200
"""Trees that one event can discard."""


def violation(state: Aggregate | None, stream: str, event: Event) -> str | None:
    """Return why this event may not come next in this stream; None if it may."""
    kind = stream.partition("-")[0]
    if kind in _ONLY:
        own = isinstance(event, _ONLY[kind])
        return _act_violation(state, event) if own else f"a {kind} has no such event"
    first = _FIRST.get(kind)
    if first is None:
        return f"there are no streams of the kind {kind}"
    if (state is None) != isinstance(event, first):
        return f"a {kind}'s stream begins with its creation, and has no other"
    match state:
        case Job():
            return _job_violation(state, event)
        case Drive():
            return _drive_violation(state, event)
        case Server():
            return _server_violation(state, event)
        case Tag():
            return _tag_violation(state, event)
        case Keypair():
            return _keypair_violation(state, event)
        case Compaction():
            if not isinstance(event, LedgerCompacted):
                return f"a compaction has no {type(event).__name__}"
            return None if state.gone is None else "the archive was compacted already"
        case Profile() | Token() | Policy() | Sweep() | Restoration() | Parking() | None:
            return None
        case _:
            assert_never(state)


def _act_violation(state: Aggregate | None, event: Event) -> str | None:
    match event:
        case JobsDiscarded():
            return _sweep_violation(state, event)
        case LedgerRestored():
            return "the restore had been recorded" if state is not None else None
        case StreamParked():
            parked = isinstance(state, Parking) and state.handling == "parked"
            return "the stream was parked already" if parked else None
        case StreamReleased():
            parked = isinstance(state, Parking) and state.handling == "parked"
            return None if parked else "the stream was not parked"
        case TokenIssued():
            return "the token had been issued" if state is not None else None
        case TokenRemoved():
            return _removal_violation(state, event)
        case _:
            return None


def _removal_violation(state: Aggregate | None, event: TokenRemoved) -> str | None:
    if not isinstance(state, Token):
        return None  # it was issued by a version that did not record that
    if state.removed is not None:
        return "the token had been removed"
    return None if state.owner == event.owner else "the token was another account's"


def _sweep_violation(state: Aggregate | None, event: JobsDiscarded) -> str | None:
    if len(event.trees) > TREES_MOST:
        return f"{len(event.trees)} trees were discarded at once"
    if any(tree.ended >= event.cutoff for tree in event.trees):
        return "a tree had not ended by the cutoff"
    match state:
        case Sweep(complete=True):
            return "the sweep was over"
        case Sweep(keep=keep, cutoff=cutoff) if (keep, cutoff) != (event.keep, event.cutoff):
            return "the sweep went on by another policy"
        case _:
            return None


def _job_violation(job: Job, event: Event) -> str | None:
    if isinstance(event, JobLabelled):
        return _label_violation(job, event)
    if job.produced is not None:
        return producers.violation(job, job.produced, event)
    if job.state != "started":
        return f"the job had ended: {job.state}"
    match event:
        case ChildAttached() | ChildEnded():
            return _parent_violation(job, event)
        case JobAttemptStarted() | JobAttemptLost() | ProgressUpdated():
            return _attempt_violation(job, event)
        case JobSucceeded() | JobFailed() | JobCancelled():
            return _end_violation(job, event)
        case JobRegistered(labels=labels):
            if job.attempt or job.children or job.resources or job.label_changes:
                return "the job was begun before it was registered"
            return wrong_label(labels, ()) or _too_many(labels)
        case _:
            return f"a job has no {type(event).__name__}"


def _label_violation(job: Job, event: JobLabelled) -> str | None:
    wrong = wrong_label(event.labels, event.removed)
    if wrong is not None:
        return wrong
    if job.label_changes >= CHANGES_MOST:
        return f"the labels had been changed {job.label_changes} times"
    if not event.labels and not event.removed:
        return "no label was changed"
    if not job.labels.keys() >= set(event.removed):
        return "a label was removed that was not there"
    return _too_many(changed(job.labels, event.labels, event.removed))


def _too_many(labels: Mapping[str, str]) -> str | None:
    return f"the job had {len(labels)} labels" if len(labels) > LABELS_MOST else None


def _parent_violation(job: Job, event: ChildAttached | ChildEnded) -> str | None:
    child = job.children.get(event.child)
    if isinstance(event, ChildEnded):
        return f"no running child {event.child}" if child is None or child.ended else None
    if child is not None:
        return f"child {event.child} is attached twice"
    if job.children.outcome is not None:
        return "its children had all ended"
    return "a worker was doing the job itself" if job.attempt else None


def _attempt_violation(
    job: Job, event: JobAttemptStarted | JobAttemptLost | ProgressUpdated
) -> str | None:
    if job.children:
        return "the job is done by its children"
    if isinstance(event, JobAttemptStarted):
        if event.worker is None:
            return "an attempt has no worker"
        follows = event.attempt == job.attempt + 1
        return None if follows else f"attempt {event.attempt} after {job.attempt}"
    if event.attempt != job.attempt or not job.attempt:
        return f"attempt {event.attempt} reports during attempt {job.attempt}"
    if isinstance(event, JobAttemptLost):
        return "the attempt was lost already" if job.lost else None
    if not job.progress <= event.progress <= FULL:
        return f"progress goes from {job.progress} to {event.progress}"
    return None


def _end_violation(job: Job, event: JobSucceeded | JobFailed | JobCancelled) -> str | None:
    """Check that a parent ends as its children did, and that a failed leaf was tried."""
    if job.children.running:
        return "a child was still running"
    due = job.children.outcome
    if due is not None and ENDINGS[type(event)] != due:
        return "its children ended otherwise"
    if isinstance(event, JobFailed) and not job.children and not job.attempt:
        return "no attempt had started"
    return None


def _drive_violation(drive: Drive, event: Event) -> str | None:
    if drive.deleted:
        return "the drive had been deleted"
    match event:
        case DriveReady() | DriveImageFailed():
            return "the drive was ready already" if drive.ready else None
        case DriveResizeStarted():
            return _resize_violation(drive, event)
        case DriveResized() | DriveResizeFailed():
            return "the drive was not being resized" if drive.resizing is None else None
        case DriveChanged(definition=definition):
            same = definition.size == drive.definition.size
            return None if same else "a change of a drive's size is a resize"
        case DriveDeleted():
            return None
        case _:
            return f"a drive has no {type(event).__name__}"


def _resize_violation(drive: Drive, event: DriveResizeStarted) -> str | None:
    if not drive.ready or drive.resizing is not None:
        return "the drive could not be resized just then"
    return None if event.size > drive.definition.size else "a drive only grows"


def _server_violation(server: Server, event: Event) -> str | None:
    if server.deleted:
        return "the server had been deleted"
    match event:
        case ServerPowerChanged():
            return _power_violation(server, event)
        case ServerChanged(mounts=None, nics=None):
            return None
        case ServerChanged() | ServerDeleted():
            return "the server was running" if server.power == "running" else None
        case _:
            return f"a server has no {type(event).__name__}"


def _power_violation(server: Server, event: ServerPowerChanged) -> str | None:
    if (event.action == "start") == (server.power == "running"):
        return f"{event.action} of a server that was {server.power}"
    runs = event.action in ("start", "restart")
    if (event.power == "running") != runs or (event.host is not None) != runs:
        return f"{event.action} does not lead to {event.power} on {event.host}"
    return _address_violation(server, event)


def _address_violation(server: Server, event: ServerPowerChanged) -> str | None:
    macs = [address.mac for address in event.addresses]
    if macs and event.power == "stopped":
        return "a stopped server got an address"
    if len(set(macs)) < len(macs) or not server.macs_with_dhcp().issuperset(macs):
        return "an address was not for one card with DHCP"
    return None


def _tag_violation(tag: Tag, event: Event) -> str | None:
    if tag.deleted:
        return "the tag had been deleted"
    match event:
        case ResourceTagged(uuid=uuid):
            return f"{uuid} bore the tag already" if uuid in tag.resources else None
        case ResourceUntagged(uuid=uuid):
            return None if uuid in tag.resources else f"{uuid} did not bear the tag"
        case TagChanged() | TagDeleted():
            return None
        case _:
            return f"a tag has no {type(event).__name__}"


def _keypair_violation(keypair: Keypair, event: Event) -> str | None:
    if keypair.deleted:
        return "the keypair had been deleted"
    known = isinstance(event, KeypairChanged | KeypairDeleted)
    return None if known else f"a keypair has no {type(event).__name__}"
