"""What happens to a drive."""

from typing import Literal

from ledger.domain.events.values import Closed

Media = Literal["disk", "cdrom"]


DriveOrigin = Literal["blank", "upload", "clone", "chunked"]
"""Where a drive's image comes from; `chunked` is an upload that comes in pieces."""


class DriveDefinition(Closed, frozen=True):
    """What the owner decides about a drive; `size` is in bytes, a multiple of 16 KiB."""

    name: str
    media: Media
    size: int
    storage_type: str
    meta: dict[str, str] = {}
    affinities: tuple[str, ...] = ()
    allow_multimount: bool = False


class DriveCreated(Closed, frozen=True):
    """A drive began to exist in a pool; it has no image yet."""

    owner: str
    definition: DriveDefinition
    pool: str
    origin: DriveOrigin


class DriveReady(Closed, frozen=True):
    """The drive's image is complete and on disk."""


class DriveImageFailed(Closed, frozen=True):
    """The drive's image could not be made; it is tried again, and `DriveReady` may follow."""

    error: str


class DriveChanged(Closed, frozen=True):
    """The owner changed the drive's definition, but never its size: that takes a resize."""

    definition: DriveDefinition


class DriveResizeStarted(Closed, frozen=True):
    """The image is to grow to this many bytes; until it has, the drive shows its old size."""

    size: int


class DriveResized(Closed, frozen=True):
    """The image durably has the wanted size."""


class DriveResizeFailed(Closed, frozen=True):
    """The image keeps its old size."""

    error: str


class DriveDeleted(Closed, frozen=True):
    pass


DriveEvent = (
    DriveCreated
    | DriveReady
    | DriveImageFailed
    | DriveChanged
    | DriveResizeStarted
    | DriveResized
    | DriveResizeFailed
    | DriveDeleted
)


def drive_stream(uuid: str) -> str:
    return f"drive-{uuid}"
