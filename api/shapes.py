"""Jobs, drives and servers as the API shows them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ledger.events import IpConf, Mount, Nic
from ledger.images import Figures
from projections.views.reading import DriveView, JobReference, JobRow, JobTree, ServerView

JsonObject = dict[str, object]
LiveFigures = Callable[[str], Figures | None]

DRIVE_LIST_FIELDS = frozenset({"name", "owner", "resource_uri", "status", "uuid"})
SERVER_LIST_FIELDS = DRIVE_LIST_FIELDS | {"runtime"}


def only(shown: JsonObject, fields: frozenset[str] | None) -> JsonObject:
    """The object with no other keys than these; None: all of it."""
    if fields is None:
        return shown
    return {key: value for key, value in shown.items() if key in fields}


# Jobs


def job_json(tree: JobTree, figures: LiveFigures) -> JsonObject:
    """A job with all below it. A running one also tells of its bytes, a failed one of its error."""
    return _told(tree, figures).json


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
    shown: JsonObject = {
        "uuid": job.uuid,
        "resource_uri": f"/api/2.0/jobs/{job.uuid}/",
        "operation": job.operation,
        "state": job.state,
        "data": data,
        "created": job.created,
        "last_modified": job.last_modified,
        "resources": tree.resources,
        "children": [child.json for child in children],
    }
    return _Told(shown, progress, copied)


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


# Drives


def drive_status(drive: DriveView) -> str:
    if not drive.ready:
        return "cloning_dst" if drive.origin == "clone" else "creating"
    if drive.mounted_on:
        return "mounted"
    if any(job.running and job.role == "source" for job in drive.jobs):
        return "cloning_src"
    return "unmounted"


def drive_json(drive: DriveView) -> JsonObject:
    definition = drive.definition
    return {
        "affinities": definition.affinities,
        "allow_multimount": definition.allow_multimount,
        "backup_scheduler": None,
        "grantees": [],
        "iops": None,
        "jobs": _jobs(drive.jobs),
        "licenses": [],
        "media": definition.media,
        "meta": definition.meta,
        "mounted_on": [_reference("servers", server) for server in drive.mounted_on],
        "name": definition.name,
        "owner": _reference("user", drive.owner),
        "permissions": [],
        "remote_snapshots": [],
        "resource_uri": f"/api/2.0/drives/{drive.uuid}/",
        "runtime": {
            "is_downloadable": True,
            "is_ephemeral": False,
            "is_snapshotable": True if drive.ready else None,
            "snapshots_allocated_size": 0,
            "storage_type": definition.storage_type,
        },
        "size": definition.size,
        "snapshots": [],
        "status": drive_status(drive),
        "storage_type": definition.storage_type,
        "tags": [],
        "uuid": drive.uuid,
    }


# Servers


def server_json(server: ServerView) -> JsonObject:
    definition = server.definition
    return {
        "auto_start": definition.auto_start,
        "context": definition.context,
        "cpu": definition.cpu,
        "cpu_model": definition.cpu_model,
        "cpu_type": definition.cpu_type,
        "cpus_instead_of_cores": definition.cpus_instead_of_cores,
        "drives": [_mount(mount) for mount in server.mounts],
        "enable_numa": definition.enable_numa,
        "epcs": definition.epcs,
        "gpus": definition.gpus,
        "grantees": [],
        "hv_relaxed": definition.hv_relaxed,
        "hv_tsc": definition.hv_tsc,
        "hypervisor": definition.hypervisor,
        "jobs": _jobs(server.jobs),
        "mem": definition.mem,
        "meta": definition.meta,
        "name": definition.name,
        "nics": [_nic(nic) for nic in server.nics],
        "owner": _reference("user", server.owner),
        "permissions": [],
        "pubkeys": [_reference("keypairs", pubkey) for pubkey in definition.pubkeys],
        "requirements": definition.requirements,
        "resource_uri": f"/api/2.0/servers/{server.uuid}/",
        "runtime": None,
        "smp": definition.smp,
        "status": "stopped",
        "tags": [],
        "uuid": server.uuid,
        "vnc_password": server.vnc_password,
    }


def _mount(mount: Mount) -> JsonObject:
    return {
        "boot_order": mount.boot_order,
        "dev_channel": mount.dev_channel,
        "device": mount.device,
        "drive": _reference("drives", mount.drive),
        "runtime": None,
    }


def _nic(nic: Nic) -> JsonObject:
    return {
        "boot_order": nic.boot_order,
        "firewall_policy": _reference_or_none("fwpolicies", nic.firewall_policy),
        "ip_v4_conf": _ip_conf(nic.ip_v4_conf),
        "ip_v6_conf": _ip_conf(nic.ip_v6_conf),
        "mac": nic.mac,
        "model": nic.model,
        "runtime": None,
        "vlan": _reference_or_none("vlans", nic.vlan),
    }


def _ip_conf(conf: IpConf | None) -> JsonObject | None:
    if conf is None:
        return None
    return {"conf": conf.conf, "ip": _reference_or_none("ips", conf.ip)}


def _jobs(references: Sequence[JobReference]) -> list[JsonObject]:
    return [_reference("jobs", reference.job) for reference in references]


def _reference(kind: str, uuid: str) -> JsonObject:
    return {"resource_uri": f"/api/2.0/{kind}/{uuid}/", "uuid": uuid}


def _reference_or_none(kind: str, uuid: str | None) -> JsonObject | None:
    return None if uuid is None else _reference(kind, uuid)
