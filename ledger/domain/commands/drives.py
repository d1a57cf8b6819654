"""Commands about drives: create, edit, resize, clone, delete."""

from msgspec import Struct

from ledger.domain.events.drives import DriveDefinition, DriveOrigin, Media


class NewDrive(Struct, frozen=True, gc=False):
    """`pool` is given if the image is there already; otherwise one is chosen."""

    drive: str
    definition: DriveDefinition
    pool: str | None = None
    tags: tuple[str, ...] = ()


class CreateDrives(Struct, frozen=True, gc=False):
    """Create drives, all or none; their images follow, then `MarkDriveReady`.

    `avoid` names drives, and servers for all of their drives, in whose pools the new drives should
    not be if that is possible; the first of them matters most.
    """

    owner: str
    drives: tuple[NewDrive, ...]
    origin: DriveOrigin
    avoid: tuple[str, ...] = ()


class MarkDriveReady(Struct, frozen=True, gc=False):
    drive: str


class FailImage(Struct, frozen=True, gc=False):
    """The image of a new drive could not be made; the drive stays, and it is tried again."""

    drive: str
    error: str


class DriveChanges(Struct, frozen=True, gc=False, kw_only=True):
    """What may be changed of a drive besides its size; what is None stays."""

    name: str | None = None
    media: Media | None = None
    storage_type: str | None = None
    meta: dict[str, str] | None = None
    affinities: tuple[str, ...] | None = None
    allow_multimount: bool | None = None
    tags: tuple[str, ...] | None = None


class EditDrive(DriveChanges, frozen=True, gc=False):
    """Change a drive; what is None stays. A new `size`, in bytes, begins a resize.

    While a running server mounts it, only its name, meta, tags and `allow_multimount` change, and
    the rest is ignored. Its storage type never changes.
    """

    owner: str
    drive: str
    size: int | None = None


class ResizeDrive(DriveChanges, frozen=True, gc=False):
    """Grow a drive's image to `size` bytes; `CompleteResize` or `FailResize` follows.

    Change the rest as `EditDrive` does, but ignore nothing: what cannot change is refused.
    """

    owner: str
    drive: str
    size: int


class EditDrives(Struct, frozen=True, gc=False):
    """Change several drives, all or none."""

    edits: tuple[EditDrive, ...]


class CompleteResize(Struct, frozen=True, gc=False):
    drive: str


class FailResize(Struct, frozen=True, gc=False):
    drive: str
    error: str


class DeleteDrives(Struct, frozen=True, gc=False):
    """Delete drives, all or none; they are detached from their servers."""

    owner: str
    drives: tuple[str, ...]


class CloneDrive(DriveChanges, frozen=True, gc=False):
    """Copy a drive. What is None comes from the source, the name by the owner's `clone_naming`.

    It has no tags but those given. `size` in bytes; `avoid` as in `CreateDrives`.
    """

    owner: str
    source: str
    destination: str
    job: str
    size: int | None = None
    avoid: tuple[str, ...] = ()


DriveCommand = (
    CreateDrives
    | MarkDriveReady
    | FailImage
    | EditDrive
    | ResizeDrive
    | EditDrives
    | CompleteResize
    | FailResize
    | DeleteDrives
    | CloneDrive
)
