"""Jobs, drives and servers as the API shows them."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from msgspec import Struct, to_builtins
from msgspec.structs import asdict

from api.http.fields import Reference
from api.http.responses import JsonObject
from api.resources.drives.bodies import Drive, DriveRuntime, LibraryDrive
from api.resources.servers.bodies import (
    IpConf,
    Mount,
    MountRuntime,
    Nic,
    NicRuntime,
    RuntimeNic,
    Server,
    ServerRuntime,
)
from api.resources.tag_bodies import Tag, Tagged
from api.text.urls import API_ROOT
from ledger.codec import decode, fields_of
from ledger.domain import events
from ledger.domain.aggregates.drive import LIBRARY
from ledger.domain.operations import operation_of
from ledger.images import Figures
from ledger.store.seam import LoggedEvent
from projections.rows import timestamp
from projections.tables import JobRow
from projections.views.activity import Activity
from projections.views.read_models import (
    DriveView,
    JobReference,
    JobTree,
    LogEntry,
    ServerView,
    TaggedView,
    TagView,
)

LiveFigures = Callable[[str], Figures | None]

DRIVE_LIST_FIELDS = frozenset({"name", "owner", "resource_uri", "status", "uuid"})
SERVER_LIST_FIELDS = DRIVE_LIST_FIELDS | {"runtime"}


# Jobs


def job_json(tree: JobTree, figures: LiveFigures) -> JsonObject:
    """A job with all below it. A running one also tells of its bytes, a failed one of its error."""
    return _told(tree, figures).json


def no_figures(_: str) -> None:
    """Stands for `LiveFigures` where only what is recorded is shown."""


def is_moving(tree: JobTree, figures: LiveFigures) -> bool:
    """Whether there are live figures of the job or of one below it."""
    if figures(tree.job.uuid) is not None:
        return True
    return any(is_moving(child, figures) for child in tree.children)


class _Copied(NamedTuple):
    """How far a copy is, or several together; the rate in bytes per second."""

    bytes_done: int
    bytes_total: int
    rate: float
    eta_s: float | None


class _Told(NamedTuple):
    """A job as it is shown, and what its parent's figures are made of."""

    json: JsonObject
    progress: int
    copied: _Copied | None
    worker_lost: bool


def _told(tree: JobTree, figures: LiveFigures) -> _Told:
    job, below = tree.job, tree.children
    children = [_told(child, figures) for child in below] if below else []
    progress = job.progress
    if children and job.state != "success":
        progress = sum(child.progress for child in children) // len(children)
    data: JsonObject = {"progress": progress}
    copied = _together(children) if children else _copied(job, figures)
    if job.state == "started" and copied is not None:
        data["bytes_done"] = copied.bytes_done
        data["bytes_total"] = copied.bytes_total
        data["bytes_per_s"] = round(copied.rate)
        data["eta_s"] = None if copied.eta_s is None else round(copied.eta_s)
    elif job.error is not None:
        data["error"] = job.error
    worker_lost = bool(job.worker_lost) or any(child.worker_lost for child in children)
    if worker_lost:
        data["worker_lost"] = True
    shown: JsonObject = {
        "uuid": job.uuid,
        "resource_uri": f"{API_ROOT}/jobs/{job.uuid}/",
        "operation": job.operation,
        "state": job.state,
        "data": data,
        "created": job.created,
        "last_modified": job.last_modified,
        "resources": [f"{API_ROOT}/{named}/" for named in tree.resources],
        "children": [child.json for child in children],
    }
    return _Told(shown, progress, copied, worker_lost)


def _copied(job: JobRow, figures: LiveFigures) -> _Copied | None:
    """The live figures of a copy if there are any, else the recorded ones; None before both."""
    live = figures(job.uuid) if job.state == "started" else None
    # A copy that has only just begun does not know its total yet; what is recorded may.
    if live is not None and live.bytes_total:
        return _Copied(live.bytes_done, live.bytes_total, live.bytes_per_s, live.eta_s)
    if job.bytes_total:
        return _Copied(job.bytes_done, job.bytes_total, 0.0, None)
    return None


def _together(children: Sequence[_Told]) -> _Copied | None:
    copies = [child.copied for child in children if child.copied is not None]
    if not copies:
        return None
    done = sum(copy.bytes_done for copy in copies)
    total = sum(copy.bytes_total for copy in copies)
    rate = sum(copy.rate for copy in copies)
    return _Copied(done, total, rate, (total - done) / rate if rate > 0 else None)


def activity_json(told: Activity) -> JsonObject:
    """What jobs did over time; `bucket_s` is the length of each bucket in seconds."""
    return {
        "bucket_s": round(told.length.total_seconds()),
        "buckets": [
            {
                "at": timestamp(bucket.at),
                "created": bucket.created,
                "success": bucket.success,
                "failed": bucket.failed,
                "cancelled": bucket.cancelled,
                "running": bucket.running,
                "copied_bytes": bucket.copied_bytes,
            }
            for bucket in told.buckets
        ],
    }


def event_json(event: LoggedEvent, owner: str) -> JsonObject:
    """An event of a job for the job's owner.

    Jobs are acted on by their owner, by workers and by the service itself; who else did is not
    told, nor in which request.
    """
    recorded = decode(event.topic, event.state)
    actor = recorded.actor
    may_know = actor == owner or ":" in actor or actor == "system"
    return {
        "position": event.position,
        "leaf_index": event.leaf_index,
        "version": event.version,
        "recorded_at": timestamp(recorded.recorded_at),
        "actor": actor if may_know else None,
        "request_id": recorded.request_id if may_know else None,
        "event": event.topic,
        "fields": fields_of(recorded)["event"],
        "leaf": event.leaf.hex(),
    }


# Drives


def drive_status(drive: DriveView) -> str:
    working = _working(drive)
    if not drive.ready:
        return working or ("uploading" if drive.origin == "chunked" else "creating")
    if drive.resizing:
        return "resizing"
    if drive.mounted_on:
        return "mounted"
    return working or "unmounted"


def _working(drive: DriveView) -> str | None:
    """Return what the first running job that has a word for it makes of the drive's status."""
    for job in drive.jobs:
        word = operation_of(job.operation).status.get(job.role) if job.running else None
        if word is not None:
            return word
    return None


def drive_json(drive: DriveView) -> JsonObject:
    storage_type = drive.definition.storage_type
    runtime = DriveRuntime(is_snapshotable=True if drive.ready else None, storage_type=storage_type)
    return _json(Drive(**_of_any_drive(drive), runtime=runtime))


def _of_any_drive(drive: DriveView) -> dict[str, Any]:
    """The fields of `ShownDrive`."""
    definition = drive.definition
    meta = definition.meta
    if drive.owner == LIBRARY:
        meta = {key: value for key, value in meta.items() if key not in LIBRARY_KEYS}
    return {
        **asdict(definition),
        "meta": meta,
        "jobs": _jobs_of(drive.jobs),
        "mounted_on": _references("servers", drive.mounted_on),
        "owner": None if drive.owner == LIBRARY else _reference("user", drive.owner),
        "resource_uri": f"{API_ROOT}/drives/{drive.uuid}/",
        "status": drive_status(drive),
        "tags": _references("tags", drive.tags),
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
"""What a library drive says of itself; a clone has it in its meta."""
IMAGE_TYPES = {"disk": "preinst", "cdrom": "install"}


def libdrive_json(drive: DriveView) -> JsonObject:
    """A library drive as the library shows it; each key is always there."""
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
    return _json(LibraryDrive(**fields))


# Servers


def server_json(server: ServerView) -> JsonObject:
    """A server; the runtime of one that runs has counted nothing, because nothing runs it."""
    definition = server.definition
    runs = server.active_since is not None
    return _json(
        Server(
            **{**asdict(definition), "pubkeys": _references("keypairs", definition.pubkeys)},
            drives=tuple(_mount(mount, runs=runs) for mount in server.mounts),
            jobs=_jobs_of(server.jobs),
            nics=tuple(_nic(nic, runs=runs) for nic in server.nics),
            owner=_reference("user", server.owner),
            resource_uri=f"{API_ROOT}/servers/{server.uuid}/",
            runtime=_runtime(server),
            status="running" if runs else "stopped",
            tags=_references("tags", server.tags),
            uuid=server.uuid,
            vnc_password=server.vnc_password,
        )
    )


def _runtime(server: ServerView) -> ServerRuntime | None:
    if server.active_since is None:
        return None
    since = datetime.fromisoformat(server.active_since).isoformat(timespec="seconds")
    nics = (RuntimeNic(**asdict(_nic_runtime(nic)), mac=nic.mac) for nic in server.nics)
    return ServerRuntime(active_since=since, nics=tuple(nics))


def _nic_runtime(nic: events.Nic) -> NicRuntime:
    """An address by DHCP comes into being only with something that runs."""
    v4, v6 = nic.ip_v4_conf, nic.ip_v6_conf
    return NicRuntime(
        interface_type="public" if nic.vlan is None else "private",
        ip_v4=None if v4 is None else _reference_or_none("ips", v4.ip),
        ip_v6=None if v6 is None else _reference_or_none("ips", v6.ip),
    )


def _mount(mount: events.Mount, *, runs: bool) -> Mount:
    return Mount(
        boot_order=mount.boot_order,
        dev_channel=mount.dev_channel,
        device=mount.device,
        drive=_reference("drives", mount.drive),
        runtime=MountRuntime() if runs else None,
    )


def _nic(nic: events.Nic, *, runs: bool) -> Nic:
    return Nic(
        boot_order=nic.boot_order,
        firewall_policy=_reference_or_none("fwpolicies", nic.firewall_policy),
        ip_v4_conf=_ip_conf(nic.ip_v4_conf),
        ip_v6_conf=_ip_conf(nic.ip_v6_conf),
        mac=nic.mac,
        model=nic.model,
        runtime=_nic_runtime(nic) if runs else None,
        vlan=_reference_or_none("vlans", nic.vlan),
    )


def _ip_conf(conf: events.IpConf | None) -> IpConf | None:
    if conf is None:
        return None
    return IpConf(conf=conf.conf, ip=_reference_or_none("ips", conf.ip))


# Tags and the audit log


def tag_json(tag: TagView) -> JsonObject:
    owner = _reference("user", tag.owner)
    return _json(
        Tag(
            name=tag.name,
            meta=tag.meta,
            owner=owner,
            resource_uri=f"{API_ROOT}/tags/{tag.uuid}/",
            resources=tuple(_tagged(resource, owner) for resource in tag.resources),
            uuid=tag.uuid,
        )
    )


def _tagged(resource: TaggedView, owner: Reference) -> Tagged:
    reference = _reference(resource.kind, resource.uuid)
    return Tagged(**asdict(reference), owner=owner, res_type=resource.kind)


def log_json(entry: LogEntry) -> JsonObject:
    """A line of the audit log; what no account did, but the service itself, has no actor.

    The timestamp has a blank where all others have a `T`.
    """
    line, by_account = entry.line, ":" not in entry.actor
    return {
        "action": line.action,
        "actor": asdict(_reference("user", entry.actor)) if by_account else None,
        "category": line.category,
        "details": "" if by_account else entry.actor.partition(":")[0],
        "error_message": line.error,
        "error_point": None,
        "error_type": "backend" if line.error else None,
        "success": not line.error,
        "timestamp": entry.recorded_at.replace("T", " "),
        "uuid": line.uuid,
    }


def _json(shown: Struct) -> JsonObject:
    json: JsonObject = to_builtins(shown)
    return json


def _jobs_of(references: Sequence[JobReference]) -> tuple[Reference, ...]:
    return _references("jobs", [reference.job for reference in references])


def _references(kind: str, uuids: Sequence[str]) -> tuple[Reference, ...]:
    return tuple(_reference(kind, uuid) for uuid in uuids)


def _reference(kind: str, uuid: str) -> Reference:
    return Reference(resource_uri=f"{API_ROOT}/{kind}/{uuid}/", uuid=uuid)


def _reference_or_none(kind: str, uuid: str | None) -> Reference | None:
    return None if uuid is None else _reference(kind, uuid)
