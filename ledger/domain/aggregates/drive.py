"""A drive: its state, and how events change it.

Whether a drive is mounted, or is the source or destination of a job, is not here: servers and jobs
say so, in relations (`ledger.domain.aggregates.relations`), so that twenty clones of one drive do
not write to its stream.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import assert_never, get_args

from msgspec import Struct
from msgspec.structs import replace

from ledger.domain.errors.drives import Busy, DriveBusy
from ledger.domain.events import Recorded
from ledger.domain.events.drives import (
    DriveChanged,
    DriveCreated,
    DriveDefinition,
    DriveDeleted,
    DriveEvent,
    DriveImageFailed,
    DriveOrigin,
    DriveReady,
    DriveResized,
    DriveResizeFailed,
    DriveResizeStarted,
)

LIBRARY = "library"
"""The owner of library drives, which is no account; every account may see and clone them."""

SIZE_STEP = 16384
"""Drive sizes are multiples of 16 KiB, as all sizes observed in the public API are."""


class Drive(Struct, frozen=True, gc=False):
    """A drive, folded from its stream.

    `ready`: its image is complete and on disk. `failed`: why it could not be made so far.
    `resizing`: the size it will have, in bytes.
    """

    uuid: str
    owner: str
    definition: DriveDefinition
    pool: str
    origin: DriveOrigin
    created: datetime
    ready: bool = False
    failed: str | None = None
    resizing: int | None = None
    deleted: datetime | None = None

    def visible_to(self, account: str) -> bool:
        """Whether the account may look at the drive, and clone it."""
        return self.owner in (account, LIBRARY)

    def check_complete(self) -> None:
        """Raise `DriveBusy` if the drive has no complete image or is being resized."""
        if not self.ready:
            raise no_image(self.uuid, self.origin, failed=self.failed is not None)
        if self.resizing is not None:
            raise DriveBusy(self.uuid, Busy.RESIZING)


_WITHOUT_IMAGE: Mapping[str, Busy] = {
    "blank": Busy.CREATING,
    "upload": Busy.CREATING,
    "clone": Busy.COPYING,
    "chunked": Busy.UPLOADING,
}
assert _WITHOUT_IMAGE.keys() == set(get_args(DriveOrigin)), "each origin has its reason"


def no_image(drive: str, origin: str, *, failed: bool) -> DriveBusy:
    """Return why a drive has no complete image, given its origin."""
    return DriveBusy(drive, Busy.FAILED if failed else _WITHOUT_IMAGE[origin])


def round_up(size: int) -> int:
    """Return `size` rounded up to a multiple of `SIZE_STEP` bytes."""
    return -(-size // SIZE_STEP) * SIZE_STEP


def evolve(drive: Drive | None, uuid: str, recorded: Recorded[DriveEvent]) -> Drive:
    """Return the drive after one more event of its stream."""
    event = recorded.event
    if drive is None:
        assert isinstance(event, DriveCreated), f"a drive's stream begins with {event}"
        return Drive(
            uuid=uuid,
            owner=event.owner,
            definition=event.definition,
            pool=event.pool,
            origin=event.origin,
            created=recorded.recorded_at,
        )
    match event:
        case DriveReady():
            return replace(drive, ready=True, failed=None)
        case DriveImageFailed():
            return replace(drive, failed=event.error)
        case DriveChanged():
            return replace(drive, definition=event.definition)
        case DriveResizeStarted():
            return replace(drive, resizing=event.size)
        case DriveResized():
            assert drive.resizing is not None, f"drive {uuid} was not being resized"
            resized = replace(drive.definition, size=drive.resizing)
            return replace(drive, definition=resized, resizing=None)
        case DriveResizeFailed():
            return replace(drive, resizing=None)
        case DriveDeleted():
            return replace(drive, deleted=recorded.recorded_at)
        case DriveCreated():
            raise AssertionError(f"drive {uuid} created twice")
        case _:
            assert_never(event)
