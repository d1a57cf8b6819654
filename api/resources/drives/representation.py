"""Drives and library drives as the API shows them."""

from typing import Any

from msgspec.structs import asdict

from api.resources.drives.bodies import Drive, DriveRuntime, LibraryDrive
from api.resources.references import job_references, reference_to, references
from api.text.urls import API_ROOT
from ledger.domain.aggregates.drive import LIBRARY
from ledger.domain.operations import operation_of
from projections.views.read_models import DriveView

DRIVE_LIST_FIELDS = frozenset({"name", "owner", "resource_uri", "status", "uuid"})


def drive_status(drive: DriveView) -> str:
    working = _working(drive)
    if drive.failed:
        return "unavailable"
    if not drive.ready:
        return working or ("uploading" if drive.origin == "chunked" else "creating")
    if drive.resizing:
        return "resizing"
    if drive.mounted_on:
        return "mounted"
    return working or "unmounted"


def _working(drive: DriveView) -> str | None:
    """Return the status that the first running job with a word for it gives the drive."""
    for job in drive.jobs:
        word = operation_of(job.operation).status.get(job.role) if job.running else None
        if word is not None:
            return word
    return None


def represent_drive(drive: DriveView) -> Drive:
    storage_type = drive.definition.storage_type
    runtime = DriveRuntime(is_snapshotable=True if drive.ready else None, storage_type=storage_type)
    return Drive(**_of_any_drive(drive), runtime=runtime)


def _of_any_drive(drive: DriveView) -> dict[str, Any]:
    """Return the fields of `ShownDrive`."""
    definition = drive.definition
    meta = definition.meta
    if drive.owner == LIBRARY:
        meta = {key: value for key, value in meta.items() if key not in LIBRARY_KEYS}
    return {
        **asdict(definition),
        "meta": meta,
        "jobs": job_references(drive.jobs),
        "mounted_on": references("servers", drive.mounted_on),
        "owner": None if drive.owner == LIBRARY else reference_to("user", drive.owner),
        "resource_uri": f"{API_ROOT}/drives/{drive.uuid}/",
        "status": drive_status(drive),
        "tags": references("tags", drive.tags),
        "uuid": drive.uuid,
    }


# Library drives

LIBRARY_TEXTS = (
    "arch",
    "description",
    "distribution",
    "install_notes",
    "os",
    "url",
    "version",
)
LIBRARY_KEYS = frozenset({*LIBRARY_TEXTS, "category", "favourite", "image_type", "paid"})
"""The keys that describe a library drive; a clone has them in its `meta`."""
IMAGE_TYPES = {"disk": "preinst", "cdrom": "install"}


def represent_library_drive(drive: DriveView) -> LibraryDrive:
    """Return a library drive as the library shows it; no key is ever absent."""
    said = drive.definition.meta
    fields = {
        **_of_any_drive(drive),
        **{name: said.get(name, "") for name in LIBRARY_TEXTS},
        "category": tuple(part for part in said.get("category", "general").split(",") if part),
        "favourite": said.get("favourite") == "true",
        "image_type": said.get("image_type", IMAGE_TYPES[drive.definition.media]),
        "paid": said.get("paid") == "true",
        "resource_uri": f"{API_ROOT}/libdrives/{drive.uuid}/",
    }
    return LibraryDrive(**fields)
