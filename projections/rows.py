"""From an aggregate's state to the rows that show it."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import assert_never

import msgspec
from msgspec.structs import fields

from ledger.domain.aggregates import Aggregate
from ledger.domain.aggregates.drive import Drive
from ledger.domain.aggregates.housekeeping import Compaction, Parking, Policy, Restoration, Sweep
from ledger.domain.aggregates.job import Job
from ledger.domain.aggregates.keypair import Keypair
from ledger.domain.aggregates.produced import Produced
from ledger.domain.aggregates.profile import Profile
from ledger.domain.aggregates.relations import Relation, TaggedBy, relations_of
from ledger.domain.aggregates.server import Server
from ledger.domain.aggregates.tag import Tag
from ledger.domain.aggregates.token import Token
from ledger.domain.producers.conditions import overdue_since
from ledger.domain.producers.failures import failure_as_known
from ledger.domain.producers.stops import is_unattended, stop_by
from ledger.store.parameters import timestamp, timestamp_or_none
from ledger.store.seam import Rows
from projections.facets import facets
from projections.tables import (
    AttachmentRow,
    DepartedRow,
    DriveRow,
    IpRow,
    JobResourceRow,
    JobRow,
    KeypairRow,
    LabelRow,
    ProducedRow,
    ProfileRow,
    RegistrationRow,
    RunRow,
    ServerRow,
    StopRow,
    TagResourceRow,
    TagRow,
    fold_case,
    keyed,
)

_encoder = msgspec.json.Encoder()
_MILLISECOND = timedelta(milliseconds=1)
_NO_ROWS: Rows = {}
_DEFAULTS = {field.name: field.default for field in fields(Produced) if field.name != "registered"}
_decode_produced = msgspec.json.Decoder(Produced).decode


def rows(state: Aggregate | None) -> Rows:
    """Return all rows that show this aggregate, by table and primary key."""
    shown = own_rows(state)
    return {**shown, **relation_rows(relations_of(state))} if isinstance(state, Tag) else shown


def relation_rows(relations: Iterable[Relation]) -> Rows:
    """Return the rows that show these relations, each by one row of its own: those of tags.

    A tag has thousands, of which an event changes one. All others are among the rows of the
    aggregate that they come from.
    """
    borne = (relation for relation in relations if isinstance(relation, TaggedBy))
    return keyed(*(TagResourceRow(each.tag, each.resource, each.kind) for each in borne))


def own_rows(state: Aggregate | None) -> Rows:
    """Return the rows that show this aggregate, without those that show its relations."""
    match state:
        case Job():
            return _job_rows(state)
        case Drive():
            return _drive_rows(state) if state.deleted is None else _departed("drive", state)
        case Server():
            return _server_rows(state) if state.deleted is None else _departed("server", state)
        case Tag():
            return _tag_rows(state) if state.deleted is None else _departed("tag", state)
        case Keypair():
            return _keypair_rows(state) if state.deleted is None else _departed("keypair", state)
        case Profile():
            return keyed(ProfileRow(state.owner, state.clone_naming))
        case Token() | Policy() | Sweep() | Compaction() | Restoration() | Parking() | None:
            return _NO_ROWS
        case _:
            assert_never(state)


def job_row(job: Job) -> JobRow:
    attempt, produced = job.current, job.produced
    return JobRow(
        uuid=job.uuid,
        owner=job.owner,
        root=job.root,
        parent=job.parent,
        ordinal=job.ordinal,
        operation=job.operation,
        state=job.state,
        created=timestamp(job.created),
        last_modified=timestamp(job.last_modified),
        ended=timestamp_or_none(job.ended),
        progress=job.progress,
        weight=job.weight,
        bytes_done=job.bytes_done,
        bytes_total=job.bytes_total,
        bytes_verified=job.bytes_verified,
        error=_error(job),
        worker_lost=int(job.lost),
        began=timestamp_or_none(attempt.began if attempt else None),
        bytes_before=attempt.bytes_before if attempt else 0,
        copied=timestamp_or_none(attempt.copied if attempt else None),
        reported=timestamp_or_none(attempt.reported if attempt else None),
        source=None if produced is None else produced.registered.source,
        cancellable=int(produced is None or produced.registered.cancellable),
        unattended=int(is_unattended(job)),
        outcome=None if produced is None else produced.outcome,
    )


def _job_rows(job: Job) -> Rows:
    running = int(job.state == "started")
    shown = job_row(job)
    return keyed(
        shown,
        *(
            JobResourceRow(
                job=job.uuid,
                place=place,
                resource=named.uuid,
                kind=named.kind,
                role=named.role,
                created=shown.created,
                running=running,
                operation=job.operation,
            )
            for place, named in enumerate(job.resources)
        ),
        *(
            LabelRow(job.owner, key, value, shown.created, job.uuid)
            for key, value in (*job.labels.items(), *facets(job))
        ),
        *_stop_rows(job),
        *_run_rows(job),
        *_produced_rows(job),
    )


def _error(job: Job) -> str | None:
    """Return why the job failed; the job itself does not change by what is reported late."""
    if job.error is None or job.produced is None:
        return job.error
    return failure_as_known(job.error, job.produced.late)


def _run_rows(job: Job) -> Iterator[RunRow]:
    """Yield how a producer's job of a series has run, once it has ended."""
    produced = job.produced
    if job.ended is None or produced is None or produced.registered.series is None:
        return
    began, finished = produced.began or job.created, produced.finished or job.ended
    yield RunRow(
        uuid=job.uuid,
        owner=job.owner,
        series=produced.registered.series,
        ended=timestamp(job.ended),
        is_root=int(job.parent is None),
        succeeded=int("succeeded" in (produced.outcome, produced.late)),
        took_ms=max(0, (finished - began) // _MILLISECOND),
    )


def _stop_rows(job: Job) -> Iterator[StopRow]:
    stop = stop_by(job)
    if stop is not None:
        at, itself, below = timestamp(stop.at), int(stop.itself), int(stop.below)
        yield StopRow(job.uuid, at, stop.by, stop.grace_s, itself, below)


def _produced_rows(job: Job) -> Iterator[RegistrationRow | ProducedRow]:
    produced = job.produced
    if produced is not None:
        yield RegistrationRow(job.uuid, _encoder.encode(produced.registered))
        overdue = timestamp_or_none(overdue_since(job))
        yield ProducedRow(job.uuid, overdue, standing(produced))


def standing(produced: Produced) -> bytes:
    """Return all but what was registered, without what is as it was then; `read_produced` reads it.

    So a report writes no more than has changed.
    """
    said = {
        name: value
        for name, default in _DEFAULTS.items()
        if (value := getattr(produced, name)) != default
    }
    return _encoder.encode(said)


def read_produced(registered: bytes, standing: bytes) -> Produced:
    """Return the producer's part of a job from its two rows."""
    more = b"}" if standing == b"{}" else b"," + standing[1:]
    return _decode_produced(b'{"registered":' + registered + more)


def _departed(kind: str, state: Drive | Server | Tag | Keypair) -> Rows:
    """Return when it was deleted: its stream goes once no job names it any more."""
    assert state.deleted is not None
    return keyed(DepartedRow(f"{kind}-{state.uuid}", timestamp(state.deleted)))


def _drive_rows(drive: Drive) -> Rows:
    return keyed(
        DriveRow(
            uuid=drive.uuid,
            owner=drive.owner,
            name=drive.definition.name,
            folded_name=fold_case(drive.definition.name),
            size=drive.definition.size,
            pool=drive.pool,
            origin=drive.origin,
            ready=int(drive.ready),
            failed=int(drive.failed is not None),
            resizing=drive.resizing,
            created=timestamp(drive.created),
            definition=_encoder.encode(drive.definition),
        )
    )


def _server_rows(server: Server) -> Rows:
    created = timestamp(server.created)
    active_since = timestamp_or_none(server.active_since)
    return keyed(
        ServerRow(
            uuid=server.uuid,
            owner=server.owner,
            name=server.definition.name,
            folded_name=fold_case(server.definition.name),
            created=created,
            host=server.host,
            active_since=active_since,
            definition=_encoder.encode(server.definition),
            mounts=_encoder.encode(server.mounts),
            nics=_encoder.encode(server.nics),
            addresses=_encoder.encode(server.addresses),
        ),
        *(
            AttachmentRow(server.uuid, place, resource, created)
            for place, resource in enumerate(server.attached())
        ),
        *(
            IpRow(ip, server.uuid, server.owner, created, network)
            for ip, network in server.ips().items()
        ),
    )


def _tag_rows(tag: Tag) -> Rows:
    return keyed(
        TagRow(
            uuid=tag.uuid,
            owner=tag.owner,
            name=tag.name,
            folded_name=fold_case(tag.name),
            created=timestamp(tag.created),
            meta=_encoder.encode(tag.meta),
        )
    )


def _keypair_rows(keypair: Keypair) -> Rows:
    return keyed(
        KeypairRow(
            uuid=keypair.uuid,
            owner=keypair.owner,
            name=keypair.name,
            folded_name=fold_case(keypair.name),
            created=timestamp(keypair.created),
            public_key=keypair.public_key,
            meta=_encoder.encode(keypair.meta),
        )
    )
