"""What clients say about drives, read from a body."""

from collections.abc import Mapping

from api.http.fields import Fields
from ledger.domain.aggregates.drive import round_up
from ledger.domain.commands import CloneDrive, EditDrive, ResizeDrive
from ledger.domain.events import DriveDefinition, Media
from ledger.images import Pool

MEDIA: tuple[Media, ...] = ("disk", "cdrom")
DEFAULT_STORAGE_TYPE = "dssd"
_SIZE_LEAST = 512 * 1024**2
_SIZES_LEAST = {"zadara": 1024**3}
SIZE_MOST = 16 * 1024**4


def least_size(storage_type: str) -> int:
    """Bytes of a new blank drive at the least; uploads, and so their clones, may be smaller."""
    return _SIZES_LEAST.get(storage_type, _SIZE_LEAST)


def default_storage_type(pools: Mapping[str, Pool]) -> str:
    """The public API's default where a pool has it, or none is here, else the first pool's."""
    types = [pool.storage_type for pool in pools.values()]
    return DEFAULT_STORAGE_TYPE if DEFAULT_STORAGE_TYPE in types or not types else types[0]


def drive_definition(
    fields: Fields, storage_type: str, *, least: int | None = None
) -> DriveDefinition:
    """A new drive; `storage_type` is the default, `least` its least size, if not a blank one's."""
    fields.require("name", "media", "size")
    storage_type = fields.text("storage_type", storage_type)
    least = least_size(storage_type) if least is None else least
    return DriveDefinition(
        name=fields.text("name", ""),
        media=fields.one_of("media", MEDIA, "disk"),
        size=round_up(fields.whole("size", 0, least=least, most=SIZE_MOST)),
        storage_type=storage_type,
        meta=fields.meta("meta", {}),
        affinities=fields.texts("affinities", ()),
        allow_multimount=fields.flag("allow_multimount", default=False),
    )


def drive_clone(
    fields: Fields,
    *,
    owner: str,
    source: str,
    destination: str,
    job: str,
    avoid: tuple[str, ...],
) -> CloneDrive:
    """A clone; what is not given comes from the source."""
    return CloneDrive(
        owner=owner,
        source=source,
        destination=destination,
        job=job,
        name=fields.text("name", None),
        media=fields.one_of("media", MEDIA, None),
        size=fields.whole("size", None, least=0, most=SIZE_MOST),
        storage_type=fields.text("storage_type", None),
        meta=fields.meta("meta", None),
        affinities=fields.texts("affinities", None),
        allow_multimount=fields.flag("allow_multimount", default=None),
        avoid=avoid,
    )


def drive_edit(fields: Fields, *, owner: str, drive: str) -> EditDrive:
    """A change; what is not given stays. Whole answers of GET are taken too."""
    return EditDrive(
        owner=owner,
        drive=drive,
        name=fields.text("name", None),
        media=fields.one_of("media", MEDIA, None),
        size=fields.whole("size", None, least=1, most=SIZE_MOST),
        meta=fields.meta("meta", None),
        affinities=fields.texts("affinities", None),
        allow_multimount=fields.flag("allow_multimount", default=None),
        tags=fields.references("tags", None),
    )


def drive_resize(fields: Fields, *, owner: str, drive: str) -> ResizeDrive:
    fields.require("size")
    return ResizeDrive(owner, drive, fields.whole("size", 0, least=1, most=SIZE_MOST))
