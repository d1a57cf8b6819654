"""From an aggregate's state to the rows that show it."""

from datetime import datetime
from functools import lru_cache
from typing import assert_never

import msgspec

from ledger.acts import Compaction, Parking, Policy, Restoration, Sweep
from ledger.aggregate import Aggregate
from ledger.drive import Drive
from ledger.job import Job
from ledger.profile import Profile
from ledger.server import Server
from ledger.store.seam import Row, RowKey, Rows
from ledger.tag import Tag

_encoder = msgspec.json.Encoder()
_NO_ROWS: Rows = {}


def rows(state: Aggregate | None) -> Rows:
    """The rows that show this aggregate, whole, by table and primary key."""
    match state:
        case Job():
            return _job_rows(state)
        case Drive():
            return _drive_rows(state) if state.deleted is None else _departed("drive", state)
        case Server():
            return _server_rows(state) if state.deleted is None else _departed("server", state)
        case Tag():
            return _tag_rows(state) if state.deleted is None else _departed("tag", state)
        case Profile():
            return {("profiles", (state.owner,)): (state.owner, state.clone_naming)}
        case Policy() | Sweep() | Compaction() | Restoration() | Parking() | None:
            return _NO_ROWS
        case _:
            assert_never(state)


@lru_cache(maxsize=1024)
def timestamp(moment: datetime) -> str:
    """As the API writes it: always six digits, always `+00:00`; sorts as time does.

    Remembered, because a job's creation is written again with each of its updates.
    """
    return moment.isoformat(timespec="microseconds")


def _job_rows(job: Job) -> Rows:
    running = job.state == "started"
    created = timestamp(job.created)
    shown: dict[RowKey, Row] = {
        ("jobs", (job.uuid,)): (
            job.uuid,
            job.owner,
            job.root,
            job.parent,
            job.ordinal,
            job.operation,
            job.state,
            created,
            timestamp(job.last_modified),
            job.progress,
            job.bytes_done,
            job.bytes_total,
            job.error,
            int(job.lost),
        )
    }
    for place, resource in enumerate(job.resources):
        shown["job_resources", (job.uuid, place)] = (
            job.uuid,
            place,
            resource.uuid,
            resource.kind,
            resource.role,
            created,
            int(running),
        )
    return shown


def _departed(kind: str, state: Drive | Server | Tag) -> Rows:
    """Of what is deleted it is shown only when: its stream goes once no job names it any more."""
    assert state.deleted is not None
    stream = f"{kind}-{state.uuid}"
    return {("departed", (stream,)): (stream, timestamp(state.deleted))}


def _drive_rows(drive: Drive) -> Rows:
    definition = drive.definition
    return {
        ("drives", (drive.uuid,)): (
            drive.uuid,
            drive.owner,
            definition.name,
            definition.size,
            drive.pool,
            drive.origin,
            int(drive.ready),
            drive.resizing,
            timestamp(drive.created),
            _encoder.encode(definition),
        )
    }


def _server_rows(server: Server) -> Rows:
    shown: dict[RowKey, Row] = {
        ("servers", (server.uuid,)): (
            server.uuid,
            server.owner,
            server.definition.name,
            timestamp(server.created),
            server.host,
            None if server.active_since is None else timestamp(server.active_since),
            _encoder.encode(server.definition),
            _encoder.encode(server.mounts),
            _encoder.encode(server.nics),
        )
    }
    created = timestamp(server.created)
    for place, mount in enumerate(server.mounts):
        shown["attachments", (server.uuid, place)] = (server.uuid, place, mount.drive, created)
    return shown


def _tag_rows(tag: Tag) -> Rows:
    shown: dict[RowKey, Row] = {
        ("tags", (tag.uuid,)): (
            tag.uuid,
            tag.owner,
            tag.name,
            timestamp(tag.created),
            _encoder.encode(tag.meta),
        )
    }
    for uuid, kind in tag.resources.items():
        shown["tag_resources", (tag.uuid, uuid)] = (tag.uuid, uuid, kind)
    return shown
