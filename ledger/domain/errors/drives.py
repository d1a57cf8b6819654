"""What cannot be done to a drive."""

from enum import StrEnum
from typing import Literal

from ledger.domain.errors import Invalid, NothingWithUuid, WrongState


class DriveNotFound(NothingWithUuid):
    thing = "drive"


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


class SizeTooSmall(Invalid):
    """A drive cannot be smaller than its source, and cannot shrink."""

    point = "size"

    def __init__(self, than: Literal["drive", "source drive"]) -> None:
        super().__init__(f"size must not be smaller than the size of the {than}")


class StorageTypeFixed(Invalid):
    """A drive keeps the storage type that it was made with."""

    point = "storage_type"

    def __init__(self, storage_type: str) -> None:
        super().__init__(
            f"the storage type stays {storage_type}: clone the drive to have it on another"
        )
