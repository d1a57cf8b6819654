"""Drives, as clients send them and as they are shown."""

from collections.abc import Mapping
from typing import Annotated, Literal, get_args

from msgspec import Meta, Struct, defstruct

from api.http.errors import BadRequest
from api.http.fields import (
    GivenTags,
    Grantees,
    Jobs,
    NoObjects,
    NoReferences,
    Owner,
    Permissions,
    Reference,
    Representation,
    ResourceMeta,
    ResourceUri,
    ResourceUuid,
    Tags,
    Text,
    TextList,
    about,
    make_partial,
)
from api.http.not_applied import differing
from ledger.domain.aggregates.drive import SIZE_STEP, round_up
from ledger.domain.commands.drives import EditDrive
from ledger.domain.events import drives
from ledger.domain.events.drives import DriveDefinition
from ledger.domain.operations import OPERATIONS
from ledger.images.chunk_layout import CHUNKS_MAX
from ledger.images.pools import STORAGE_TYPES, Pool
from projections.views.read_models import DriveView

MEDIA: tuple[drives.Media, ...] = get_args(drives.Media)
DEFAULT_STORAGE_TYPE = "dssd"
SIZE_MOST = 16 * 1024**4
_SIZE_LEAST = 512 * 1024**2
_SIZES_LEAST = {"zadara": 1024**3}

Media = Annotated[drives.Media, Meta(title="Media", extra={"choices": MEDIA})]
DRIVE_STATUSES = (
    "creating",
    "unmounted",
    "mounted",
    *dict.fromkeys(word for each in OPERATIONS.values() for word in each.status.values()),
    "resizing",
    "uploading",
    "unavailable",
)


class DriveFields(Struct, kw_only=True):
    """The fields of a drive that clients send and are shown."""

    name: Annotated[Text, about("Human readable name; may be empty.")]
    media: Annotated[Media, about("Media type.")]
    meta: ResourceMeta = {}
    affinities: Annotated[TextList, about("Affinities of the drive.", choices=("ssd",))] = ()
    allow_multimount: Annotated[bool, about("Whether several servers may mount the drive.")] = False


# What clients send

_StorageType = Annotated[
    Text, Meta(title="StorageType", extra_json_schema={"enum": list(STORAGE_TYPES)})
]
_Size = Annotated[int, about("Bytes; not less than it has.", ge=1, le=SIZE_MOST)]
_FixedStorageType = Annotated[_StorageType, about("The one that it has: it never changes.")]


class NewDrive(DriveFields, kw_only=True):
    """A blank drive."""

    tags: GivenTags = ()

    size: Annotated[
        int, about("512 MiB to 16 TiB; rounded up to 16 KiB.", ge=_SIZE_LEAST, le=SIZE_MOST)
    ]
    storage_type: Annotated[_StorageType, about("The kind of pool; one that there is.")] | None = (
        None
    )


class NewUpload(NewDrive, kw_only=True):
    """A drive that is uploaded in chunks."""

    size: Annotated[
        int,
        about(
            "The image's; rounded up to 16 KiB. What the image has less is a hole.",
            ge=1,
            le=SIZE_MOST,
        ),
    ]


DriveEdit = make_partial(
    "DriveEdit", DriveFields, size=_Size, storage_type=_FixedStorageType, tags=GivenTags
)
DriveClone = make_partial(
    "DriveClone", DriveFields, size=_Size, storage_type=_StorageType, tags=GivenTags
)
DriveResize = defstruct("DriveResize", [("size", _Size)], bases=(DriveEdit,), kw_only=True)


class ChunkRequest(Struct):
    chunk_number: Annotated[int, Meta(ge=0, le=CHUNKS_MAX - 1)]
    # With at least one step, the chunk that ends within the drive's last step is the last chunk:
    # no client says which one is.
    chunk_size: Annotated[
        int,
        about(
            "What all chunks have but the last, which has the rest as well.",
            ge=SIZE_STEP,
            le=SIZE_MOST,
        ),
    ]


# What is shown


class ChunkLink(Representation, frozen=True):
    link: Annotated[str, about("Where to POST the chunk.")]


class DriveRuntime(Struct, kw_only=True, forbid_unknown_fields=True):
    is_downloadable: Annotated[bool, about("Whether the image can be downloaded.")] = True
    is_ephemeral: Annotated[Literal[False], about("Whether the drive is lost with its host.")] = (
        False
    )
    is_snapshotable: Annotated[
        bool | None, about("Whether snapshots can be taken; null until the image is complete.")
    ] = None
    snapshots_allocated_size: Annotated[Literal[0], about("Bytes that snapshots take.")] = 0
    storage_type: Annotated[str, Meta(extra={"default": None})]


class ShownDrive(DriveFields, kw_only=True):
    """The fields that any drive shows, also one in the library."""

    jobs: Jobs = ()
    licenses: Annotated[NoObjects, about("Licenses attached to the drive.")] = ()
    mounted_on: Annotated[tuple[Reference, ...], about("Servers that mount the drive.")] = ()
    owner: Owner = None
    resource_uri: ResourceUri
    size: Annotated[
        int,
        about(
            "Size in bytes, rounded up to a multiple of 16 KiB.",
            ge=SIZE_STEP,
            multiple_of=SIZE_STEP,
        ),
    ]
    status: Annotated[
        str,
        about(
            "Status of the resource.",
            choices=DRIVE_STATUSES,
            extra_json_schema={"enum": DRIVE_STATUSES},
        ),
    ]
    storage_type: Annotated[str, Meta(extra={"choices": STORAGE_TYPES})] = DEFAULT_STORAGE_TYPE
    tags: Tags = ()
    uuid: ResourceUuid


class Drive(ShownDrive, kw_only=True, forbid_unknown_fields=True):
    """A drive of an account."""

    backup_scheduler: str | None = None
    grantees: Grantees = ()
    iops: Annotated[int | None, about("Provisioned operations per second.")] = None
    permissions: Permissions = ()
    remote_snapshots: Annotated[NoReferences, about("Remote snapshots of the drive.")] = ()
    runtime: Annotated[
        DriveRuntime, about("State of the drive at this moment.", extra={"default": None})
    ]
    snapshots: Annotated[NoReferences, about("Snapshots of the drive.")] = ()


class LibraryDrive(ShownDrive, kw_only=True, forbid_unknown_fields=True):
    """A drive that nobody owns.

    The values of `arch` to `version` are given when it is added to the library; a clone has them in
    its `meta`.
    """

    arch: Annotated[str, about("Architecture of the operating system.")] = ""
    category: Annotated[tuple[str, ...], about("Categories the image belongs to.")] = ("general",)
    description: Annotated[str, about("Description of the image.")] = ""
    distribution: Annotated[str, about("Distribution of the operating system.")] = ""
    favourite: Annotated[bool, about("Whether the image is a favourite one.")] = False
    image_type: Annotated[
        str, about("What kind of image this is.", choices=("preinst", "install", "live"))
    ] = "preinst"
    install_notes: Annotated[str, about("Notes on the installation.")] = ""
    os: Annotated[str, about("Operating system.")] = ""
    paid: Annotated[bool, about("Whether the image has to be paid for.")] = False
    url: Annotated[str, about("Where there is more about the image.")] = ""
    version: Annotated[str, about("Version of the operating system.")] = ""


# Rules


def least_size(storage_type: str) -> int:
    """Return the least size of a new blank drive; uploads, and so their clones, may be smaller."""
    return _SIZES_LEAST.get(storage_type, _SIZE_LEAST)


def default_storage_type(pools: Mapping[str, Pool]) -> str:
    """Return the public API's default if a pool has it, or there is none, else the first pool's."""
    types = [pool.storage_type for pool in pools.values()]
    return DEFAULT_STORAGE_TYPE if DEFAULT_STORAGE_TYPE in types or not types else types[0]


def ignored(edit: EditDrive, drive: DriveView) -> list[str]:
    """Return the fields that the edit gives and the drive does not have: its server runs."""
    given = {
        "media": edit.media,
        "affinities": edit.affinities,
        "storage_type": edit.storage_type,
        "size": None if drive.resizing or edit.size is None else round_up(edit.size),
    }
    return differing(given, drive.definition)


def drive_definition(new: NewDrive, storage_type: str) -> DriveDefinition:
    """Return the definition of a new drive; `storage_type` is the default."""
    if new.storage_type is not None:
        storage_type = new.storage_type
    least = 1 if isinstance(new, NewUpload) else least_size(storage_type)
    if new.size < least:
        raise BadRequest(f"size must be at least {least} for {storage_type}", point="size")
    given = {name: getattr(new, name) for name in DriveDefinition.__struct_fields__}
    return DriveDefinition(**{**given, "size": round_up(new.size), "storage_type": storage_type})
