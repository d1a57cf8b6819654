"""Expected errors: each is named for what happened, and words itself.

A `Refusal` says what the ledger will not do, and changes nothing. `StoreFailed` says what the store
cannot do. `api` alone maps errors to HTTP statuses. What should be impossible is an assertion.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Literal


class Expected(Exception):
    """An error that is no fault of the program; its text is one line."""


class Misconfigured(Expected):
    """The configuration, or what it refers to, cannot be used until somebody changes it."""


class Refusal(Expected):
    """A command was refused; nothing was recorded.

    `point` names the field of the request that is at fault, if there is one. `needs_pool`: another
    pool would have helped, so nothing is refused like this before all pools are known.
    """

    point: str | None = None
    needs_pool = False

    def __init__(self, message: str, *, point: str | None = None) -> None:
        super().__init__(message)
        if point is not None:
            self.point = point


# What is not there


class NotFound(Refusal):
    """The account has no such thing; things of other accounts are treated the same."""


class NothingWithUuid(NotFound):
    """The account has nothing of this kind with the uuid."""

    thing: str

    def __init__(self, uuid: str) -> None:
        super().__init__(f"no {self.thing} with uuid {uuid}")


class DriveNotFound(NothingWithUuid):
    thing = "drive"


class ServerNotFound(NothingWithUuid):
    thing = "server"


class JobNotFound(NothingWithUuid):
    thing = "job"


class TagNotFound(NothingWithUuid):
    thing = "tag"


class KeypairNotFound(NothingWithUuid):
    thing = "keypair"


class IpNotFound(NotFound):
    """No running server of the account uses the address."""

    def __init__(self, ip: str) -> None:
        super().__init__(f"no running server uses the address {ip}")


class ResourceNotFound(NotFound):
    """There is no drive or server that could have the tag."""

    def __init__(self, uuid: str) -> None:
        super().__init__(f"no drive or server with uuid {uuid}", point="resources")


class UploadGone(NotFound):
    """The drive was deleted while its chunks were arriving."""

    def __init__(self) -> None:
        super().__init__("there is nothing to upload to: the drive was deleted")


class ChunkAbsent(NotFound):
    """The chunk is not there, or not complete."""

    def __init__(self) -> None:
        super().__init__("the chunk is not there")


class ChunkPresent(Refusal):
    """The chunk is there already, and durable."""

    def __init__(self) -> None:
        super().__init__("the chunk is there already")


# What cannot be done to things as they are


class WrongState(Refusal):
    """The thing exists, but not in a state in which this can be done to it.

    `passes_soon`: the state is over in a moment, by itself. A client need not see it, so a request
    waits for its end.
    """

    passes_soon = False


class Busy(StrEnum):
    """Why something cannot be done with a drive now."""

    CREATING = "is being created"
    RESIZING = "is being resized"
    COPYING = "has no complete image yet: it is being copied"
    UPLOADING = "has no complete image yet: it is being uploaded"
    FAILED = "has no image: it could not be made so far"
    IN_JOB = "is needed by a running job"
    NOT_RESIZING = "is not being resized"
    NOT_WAITING = "is not waiting for an image"
    POOL_ELSEWHERE = "is in a pool that is not mounted on this node"


class DriveBusy(WrongState):
    """The drive has no complete image yet, or a running job needs it."""

    def __init__(self, uuid: str, reason: Busy) -> None:
        super().__init__(f"drive {uuid} {reason}")
        self.passes_soon = reason in (Busy.CREATING, Busy.RESIZING)


class PoolsApart(WrongState):
    """No worker has both pools, so nothing can be copied from one to the other."""

    point = "storage_type"
    needs_pool = True

    def __init__(self, source: str, destination: str) -> None:
        super().__init__(
            f"nothing can be copied from pool {source} to pool {destination}: no worker has both;"
            f" start one that has, or clone within {source}"
        )


class NoPools(Refusal):
    """No worker has reported a pool yet, or none has for long."""

    needs_pool = True

    def __init__(self) -> None:
        super().__init__("no worker is there yet that has a pool for images: try again in a moment")


class PoolsFull(Refusal):
    """All pools in which the image could be are so full that what is left must stay free."""

    point = "storage_type"
    needs_pool = True

    def __init__(self, pool: str, storage_type: str) -> None:
        super().__init__(
            f"pool {pool} is full, and so is every other that could be used of storage type"
            f" {storage_type}: delete drives there, or choose another storage type"
        )


class PoolSilent(Refusal):
    """The pool has not answered for so long that whoever needs it waits no longer."""

    needs_pool = True

    def __init__(self, pool: str) -> None:
        super().__init__(f"pool {pool} does not answer: try again later")
        self.pool = pool


class NotMeasured(Refusal):
    """It is not known how much data these images have: the caller reads that, and asks again."""

    def __init__(self, images: tuple[tuple[str, str], ...]) -> None:
        """`images` are pools and drives."""
        super().__init__("images must be measured first")
        self.images = images


class PoolElsewhere(WrongState):
    """The node that receives an image has no pool mounted that the image could be stored in."""

    point = "storage_type"

    def __init__(self, pool: str, storage_type: str) -> None:
        super().__init__(
            f"pool {pool} is not mounted on this node, nor is another of storage type"
            f" {storage_type}: send the image to a node that has one"
        )


class ServerBusy(WrongState):
    """A running job needs the server."""

    def __init__(self, uuid: str) -> None:
        super().__init__(f"server {uuid} is needed by a running job")


class ServerRunning(WrongState):
    """The server is running, or a running server mounts the drive."""

    def __init__(self, uuid: str, *, drive: str | None = None) -> None:
        mounted = "" if drive is None else f" and mounts drive {drive}"
        super().__init__(f"server {uuid} is running{mounted}")


class ServerStopped(WrongState):
    """The server is not running."""

    def __init__(self, uuid: str) -> None:
        super().__init__(f"server {uuid} is not running")


class AddressInUse(WrongState):
    """A static address is used by another card of the account, whose server runs."""

    point = "nics"

    def __init__(self, ip: str) -> None:
        super().__init__(f"address {ip} is used by another card of a running server")


class NoAddressLeft(WrongState):
    """The account's running servers use all addresses of the network."""

    point = "nics"

    def __init__(self, network: str) -> None:
        super().__init__(
            f"running servers use all addresses of {network}: stop one of them, or ask the operator"
            " for a wider --address-range"
        )


class LibraryDrive(WrongState):
    """A disk of the library can be cloned, but not attached."""

    point = "drives"

    def __init__(self, uuid: str) -> None:
        super().__init__(f"drive {uuid} is a disk of the library: clone it")


class DriveAlreadyMounted(WrongState):
    """The drive is attached to another server and must not be attached twice."""

    point = "drives"

    def __init__(self, uuid: str) -> None:
        super().__init__(f"drive {uuid} is attached to a server already")


class NotUploading(WrongState):
    """The drive does not get its image in chunks."""

    def __init__(self, uuid: str) -> None:
        super().__init__(f"drive {uuid} does not get its image in chunks")


# What is too much


class OverQuota(Refusal):
    """The account owns or has recorded as much as it may; `resource` has the name of the limit."""

    def __init__(self, resource: str, message: str) -> None:
        super().__init__(message)
        self.resource = resource


class QuotaExceeded(OverQuota):
    """The account has as many things of a kind as it may have."""

    def __init__(self, kind: str, limit: int) -> None:
        has, helps = _QUOTAS[kind]
        super().__init__(kind, f"the account has {limit:,} {has}, and may have no more: {helps}")


_QUOTAS: Mapping[str, tuple[str, str]] = {
    "drives": ("drives", "delete some"),
    "servers": ("servers", "delete some"),
    "tags": ("tags", "delete some"),
    "keypairs": ("keypairs", "delete some"),
    "tokens": ("tokens", "remove some"),
    "jobs-running": ("running jobs", "cancel some, or wait until they end"),
    "jobs-kept": ("jobs", "those that have ended are discarded after some time"),
}
"""How each kind is called in a refusal, and what helps."""


class TooManyUploads(OverQuota):
    """Too many uploads have begun and are not finished."""

    def __init__(self, limit: int, *, of_all: bool) -> None:
        super().__init__(
            "unfinished-uploads",
            f"{'the service' if of_all else 'the account'} has {limit:,} uploads that are not"
            " finished, and may have no more: finish some, or delete their drives",
        )


class LedgerBytesSpent(OverQuota):
    """The account has recorded as much in a day as it may."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            "ledger-bytes-a-day",
            f"the account has recorded {limit:,} bytes of changes in 24 hours, and may record no"
            " more: try again later; what it has can be read, stopped, cancelled and deleted",
        )


# What can never be


class Invalid(Refusal):
    """The command asks for something that can never be."""


class SizeTooSmall(Invalid):
    """A drive cannot be smaller than its source, and cannot shrink."""

    point = "size"

    def __init__(self, than: Literal["drive", "source drive"]) -> None:
        super().__init__(f"size must not be smaller than the size of the {than}")


class UnknownTag(Invalid):
    """The account has no such tag to give to a drive or server."""

    point = "tags"

    def __init__(self, uuid: str) -> None:
        super().__init__(f"no tag with uuid {uuid}")


class StorageTypeFixed(Invalid):
    """A drive keeps the storage type that it was made with."""

    point = "storage_type"

    def __init__(self, storage_type: str) -> None:
        super().__init__(
            f"the storage type stays {storage_type}: clone the drive to have it on another"
        )


class UnknownStorageType(Invalid):
    """No pool has this storage type."""

    point = "storage_type"
    needs_pool = True

    def __init__(self, storage_type: str, known: Iterable[str]) -> None:
        super().__init__(
            f"no pool has storage type {storage_type}; there is {', '.join(sorted(set(known)))}"
        )


class UnknownKeypair(Invalid):
    """A server cannot have a keypair that its account does not have."""

    point = "pubkeys"

    def __init__(self, uuid: str) -> None:
        super().__init__(f"no keypair with uuid {uuid}")


class OtherPublicKey(Invalid):
    """The public key of a keypair stays: servers that have it would be opened by another."""

    point = "public_key"

    def __init__(self) -> None:
        super().__init__("the public key of a keypair cannot change: create another keypair")


class CpuTooLow(Invalid):
    """The cpu is too low for the number of smp."""

    point = "smp"

    def __init__(self, least_mhz: int) -> None:
        super().__init__(f"smp must leave each of them {least_mhz} MHz of cpu")


class ChunkMisfit(Invalid):
    """The chunk lies outside the drive, or has the wrong number of bytes."""


class ChunkingChanged(Invalid):
    """An upload's chunk size or total size differs from what was said before."""


class TooDeep(Invalid):
    """The tree of jobs would have too many levels."""

    def __init__(self, parent: str, depth: int) -> None:
        super().__init__(f"job {parent} is {depth} levels deep; none go deeper")


class AlreadyExists(Invalid):
    """The uuid of something new is taken."""

    def __init__(self, kind: str, uuid: str) -> None:
        super().__init__(f"{kind} {uuid} exists already")


# Jobs, and reports about them


class JobOver(WrongState):
    """The job has ended; its history is closed."""

    def __init__(self, uuid: str, state: str) -> None:
        super().__init__(f"job {uuid} has ended: {state}")


class JobHasChildren(WrongState):
    """A job with sub-jobs is done by them and ends when they have ended."""

    def __init__(self, uuid: str) -> None:
        super().__init__(f"job {uuid} is done by its sub-jobs")


class JobHasWorker(WrongState):
    """A worker does the job itself, so the job can have no sub-jobs."""

    def __init__(self, uuid: str) -> None:
        super().__init__(f"job {uuid} is done by a worker")


class StaleAttempt(WrongState):
    """The report comes from an attempt that is not the job's current one."""

    def __init__(self, job: str, attempt: int, current: int) -> None:
        super().__init__(f"job {job} is at attempt {current}, not {attempt}")


class ProgressWentBack(WrongState):
    """The report's progress is below the recorded progress, or above 100 per cent."""

    def __init__(self, job: str, recorded: int, reported: int) -> None:
        super().__init__(f"job {job} is at {recorded} %, the report says {reported} %")


# Retention


class NotDue(WrongState):
    """What is to be discarded is still running, or has not been over for long enough."""

    def __init__(self, what: str, keep: timedelta) -> None:
        super().__init__(f"{what} is not due: jobs are kept for {keep}")


class NotReleased(WrongState):
    """The stream was not released to be discarded unread."""

    def __init__(self, stream: str) -> None:
        super().__init__(f"{stream} was not released to be discarded unread")


class KeepOutOfRange(Invalid):
    """Jobs cannot be kept for a negative time, or for more than a century."""

    def __init__(self, most: timedelta) -> None:
        super().__init__(f"jobs can be kept for 0 to {most.days} days")


class NotParked(WrongState):
    """The stream is not parked."""

    def __init__(self, stream: str) -> None:
        super().__init__(f"{stream} is not parked")


# Other processes


class ConcurrentChange(Refusal):
    """Other processes kept changing the same things at the same moment."""

    def __init__(self) -> None:
        super().__init__("the object was changed by another request; try again")


class AlreadyClaimed(ConcurrentChange):
    """Another request was recorded for the account under the same key."""

    def __init__(self) -> None:
        Refusal.__init__(self, "another request with this key was recorded; try again")


# The store


class StoreFailed(Expected):
    """The store could not read or write; the process must stop, and recovers at its next start."""


class CommitFailed(StoreFailed):
    """The store failed during a commit: the changes may or may not be recorded."""


class StoreUnreachable(StoreFailed):
    """The store is closed, or cannot be used just now. It has not failed."""


class NoStoreTime(StoreUnreachable):
    """Nothing was recorded, because the store's clock could not be relied on."""

    def __init__(self) -> None:
        super().__init__(
            "nothing was recorded: the database's clock has not been of use for a while"
        )


class StoreBusy(StoreUnreachable):
    """Others held a lock for longer than a request may wait; nothing was done."""


class ReadCut(StoreUnreachable):
    """A long read was ended to keep the ledger's disk from filling."""

    def __init__(self) -> None:
        super().__init__(
            "the read took so long that it was ended, to keep the ledger's disk from filling: ask"
            " for less at once, or try again later"
        )


class BackupHeldUp(StoreUnreachable):
    """A backup gave way to the service each time, so that the ledger's disk did not fill."""

    def __init__(self, tries: int) -> None:
        super().__init__(
            f"{tries} times the service wrote so much that the backup had to give way, to keep the"
            " ledger's disk from filling: make it when less is written, or give the service a"
            " larger --reserve"
        )


class StoreFull(StoreUnreachable):
    """There is no room to record this; nothing was recorded, and reads continue."""

    def __init__(self) -> None:
        super().__init__(
            "the ledger's disk is full: what there is can be read, stopped and deleted, but nothing"
            " new be recorded. A deleted drive gives its pool room now; the ledger's own disk has"
            " room again once old jobs are discarded, or its operator makes some"
        )


class PauseLost(StoreUnreachable):
    """The work was recorded, but other processes did not wait for what had to follow it."""

    def __init__(self) -> None:
        super().__init__(
            "it was recorded, but the connection was lost, and others may have recorded something"
            " before what was to follow"
        )


class CommitPending(StoreUnreachable):
    """The caller no longer waits for a commit, which may still be recorded."""

    def __init__(self) -> None:
        super().__init__("the store has not said in time whether it was recorded")


class StoreUnfit(StoreFailed, Misconfigured):
    """The store holds no ledger, or one of a later version, or cannot hold one."""


# What is stored


class UnknownEvent(Expected):
    """A stored event has a name or a version that this code does not know."""


class UnreadableStream(UnknownEvent):
    """A stream cannot be folded: one of its events is unknown, or out of place."""

    def __init__(self, stream: str, position: int, reason: str) -> None:
        super().__init__(f"{stream} cannot be read from position {position} on: {reason}")
        self.stream = stream
        self.position = position
        self.reason = reason
