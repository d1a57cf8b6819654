"""Errors that are expected, each named for what happened.

A refusal is what the ledger will not do; it changes nothing. What the store cannot do is
`StoreFailed`. HTTP statuses are given to errors in `api` only. What should be impossible is an
assertion instead.
"""


class Expected(Exception):
    """What can happen without being a fault of the program; its text is told in one line."""


class Refusal(Expected):
    """A command was refused; nothing was recorded.

    `point` names the field of the request that is at fault, where there is one.
    """

    point: str | None = None

    def __init__(self, message: str, *, point: str | None = None) -> None:
        super().__init__(message)
        if point is not None:
            self.point = point


class NotFound(Refusal):
    """There is no such thing for this account; foreign things are treated the same."""


class DriveNotFound(NotFound):
    def __init__(self, uuid: str) -> None:
        super().__init__(f"no drive with uuid {uuid}")


class ServerNotFound(NotFound):
    def __init__(self, uuid: str) -> None:
        super().__init__(f"no server with uuid {uuid}")


class JobNotFound(NotFound):
    def __init__(self, uuid: str) -> None:
        super().__init__(f"no job with uuid {uuid}")


class TagNotFound(NotFound):
    def __init__(self, uuid: str, *, point: str | None = None) -> None:
        super().__init__(f"no tag with uuid {uuid}", point=point)


class ResourceNotFound(NotFound):
    """There is no drive or server that could bear the tag."""

    def __init__(self, uuid: str) -> None:
        super().__init__(f"no drive or server with uuid {uuid}", point="resources")


class UploadGone(NotFound):
    """The drive was deleted while its chunks were coming."""

    def __init__(self) -> None:
        super().__init__("there is nothing to upload to: the drive was deleted")


class ChunkAbsent(NotFound):
    """The chunk is not there, or not whole."""

    def __init__(self) -> None:
        super().__init__("the chunk is not there")


class ChunkPresent(Refusal):
    """The chunk is there already, and durable."""

    def __init__(self) -> None:
        super().__init__("the chunk is there already")


class WrongState(Refusal):
    """The thing exists, but not in a state in which this may be done to it."""


class DriveBusy(WrongState):
    """The drive has no complete image yet, or a running job needs it."""


class PoolsApart(WrongState):
    """Nobody has both pools, so nothing can be copied from the one to the other."""


class PoolElsewhere(WrongState):
    """The image would have to go into a pool that is not mounted where it was sent to."""


class ServerBusy(WrongState):
    """A running job needs the server."""


class ServerRunning(WrongState):
    """The server runs, or mounts what is asked for while it does."""


class ServerStopped(WrongState):
    """The server does not run."""


class LibraryDrive(WrongState):
    """A disk of the library is there to be cloned, not to be attached."""


class DriveAlreadyMounted(WrongState):
    """The drive is attached to another server and may not be attached twice."""


class NotUploading(WrongState):
    """The drive does not get its image in chunks."""


class Invalid(Refusal):
    """The command asks for something that can never be."""


class SizeTooSmall(Invalid):
    """The drive would be smaller than its source, or than it is."""

    point = "size"


class UnknownStorageType(Invalid):
    """No pool has this storage type."""

    point = "storage_type"


class CpuTooLow(Invalid):
    """There would be too little of the cpu for each of the smp."""

    point = "smp"


class ChunkMisfit(Invalid):
    """The chunk has no place in the drive, or not as many bytes as belong there."""


class ChunkingChanged(Invalid):
    """An upload's chunk size or total size is not what it was said to be before."""


class TooDeep(Invalid):
    """The tree of jobs would have too many levels."""


class AlreadyExists(Invalid):
    """The uuid of something new is taken."""


class JobOver(WrongState):
    """The job has ended; its history is closed."""


class JobHasChildren(WrongState):
    """A job with sub-jobs ends when they have ended, not by a report of its own."""


class StaleAttempt(WrongState):
    """The report comes from an attempt that has been replaced by a later one."""


class ProgressWentBack(WrongState):
    """The report's progress is below what is recorded."""


class NotDue(WrongState):
    """What is to be discarded has not ended long enough ago, or not at all."""


class KeepOutOfRange(Invalid):
    """How long jobs are to be kept is less than nothing, or more than a century."""


class NotParked(WrongState):
    """The stream is not parked."""


class ConcurrentChange(Refusal):
    """Another process changed the same things at the same moment, time after time."""

    def __init__(self) -> None:
        super().__init__("the object was changed by another request; try again")


class AlreadyClaimed(ConcurrentChange):
    """Another request was recorded for the account under the same key."""

    def __init__(self) -> None:
        Refusal.__init__(self, "another request with this key was recorded; try again")


class StoreFailed(Expected):
    """The store could not write or read; the process must stop and recover at its next start."""


class StoreUnreachable(StoreFailed):
    """The store cannot be asked: it is closed, or cannot be opened just now. It has not failed."""


class StoreBusy(StoreUnreachable):
    """Others hold what is needed, for longer than anybody is made to wait; nothing was done."""


class UnknownEvent(Expected):
    """A stored event has a name or a version of its shape that this code does not know."""


class UnreadableStream(UnknownEvent):
    """A stream cannot be folded: one of its events is not known, or may not come where it does."""

    def __init__(self, stream: str, position: int, reason: str) -> None:
        super().__init__(f"{stream} cannot be read from position {position} on: {reason}")
        self.stream = stream
        self.position = position
        self.reason = reason
