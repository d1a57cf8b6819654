"""What an account is shown, compared with what a model says."""

from projections.views.snapshot import Snapshot
from tests.support.model import Model
from tests.support.read_models import drives_of, jobs_of, servers_of, tags_of
from tests.support.world import GIB


def check_views(model: Model, snapshot: Snapshot, owner: str) -> None:
    """Drives, servers, tags and jobs of an account, with all that they say of each other."""
    _check_drives(model, snapshot, owner)
    _check_servers(model, snapshot, owner)
    _check_tags(model, snapshot, owner)
    _check_jobs(model, snapshot, owner)


def _check_drives(model: Model, snapshot: Snapshot, owner: str) -> None:
    assert {
        uuid: (
            drive.media,
            drive.gib * GIB,
            drive.ready,
            drive.wanted_gib is not None,
            model.mounted_on(uuid),
            model.busy(uuid),
            model.tags_of(uuid),
        )
        for uuid, drive in model.drives.items()
        if drive.owner == owner
    } == {
        drive.uuid: (
            drive.definition.media,
            drive.definition.size,
            drive.ready,
            drive.resizing,
            drive.mounted_on,
            any(job.running for job in drive.jobs),
            drive.tags,
        )
        for drive in drives_of(snapshot, owner)
    }


def _check_servers(model: Model, snapshot: Snapshot, owner: str) -> None:
    servers = servers_of(snapshot, owner)
    assert {
        uuid: (server.mounts, server.running, model.busy(uuid), model.tags_of(uuid))
        for uuid, server in model.servers.items()
        if server.owner == owner
    } == {
        server.uuid: (
            [mount.drive for mount in server.mounts],
            server.host is not None,
            any(job.running for job in server.jobs),
            server.tags,
        )
        for server in servers
    }
    assert all(server.vnc_password for server in servers)


def _check_tags(model: Model, snapshot: Snapshot, owner: str) -> None:
    assert {
        uuid: sorted(tag.bearers) for uuid, tag in model.tags.items() if tag.owner == owner
    } == {tag.uuid: [bearer.uuid for bearer in tag.resources] for tag in tags_of(snapshot, owner)}


def _check_jobs(model: Model, snapshot: Snapshot, owner: str) -> None:
    there = model.drives.keys() | model.servers.keys()
    assert {
        uuid: (
            job.state,
            job.progress,
            int(job.lost and job.state == "started"),
            job.parent,
            job.children,
            sorted(name for name in job.names if name in there),
        )
        for uuid, job in model.jobs.items()
        if job.owner == owner
    } == {
        tree.job.uuid: (
            tree.job.state,
            tree.job.progress,
            tree.job.worker_lost,
            tree.job.parent,
            [child.job.uuid for child in tree.children],
            sorted(resource.split("/")[-1] for resource in tree.resources),
        )
        for tree in jobs_of(snapshot, owner)
    }
