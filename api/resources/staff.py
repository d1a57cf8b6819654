"""`/ledger/`: what auditors and operators see of the whole ledger; nothing here changes it."""

from datetime import datetime, timedelta

from aiohttp import web

from api.accounts.account import checked_role
from api.data.location import SqliteDatabase
from api.http.errors import BadRequest
from api.http.requests import page, read_time
from api.http.responses import json_answer, page_answer
from api.http.streams import read_in_lane
from api.resources.staff_bodies import (
    Account,
    ArchiveFile,
    Discarded,
    KeptCheckpoint,
    LedgerStatus,
    ParkedStream,
    PlannedTree,
    PoolStatus,
    RetentionPlan,
    RetentionStanding,
)
from api.service.service import Service
from api.text.iso8601 import duration, duration_text
from ledger.domain.aggregates.housekeeping import Parking
from ledger.domain.decisions.housekeeping import KEEP_LAST_MOST, KEEP_MOST
from ledger.domain.events.housekeeping import DiscardedTree
from ledger.domain.retention_policy import Plan
from ledger.store.parameters import timestamp, timestamp_or_none
from ledger.store.tables import accounts, checkpoints
from projections.maintenance.retention.status import RetentionStatus, SweepSummary

TREES_SHOWN = 1_000
"""Trees of a plan that are listed; the totals count all of them."""
STREAMS_SHOWN = 1_000


class Staff:
    """Handlers of these URLs. Each reads in a thread: what it shows grows with the ledger."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def status(self, request: web.Request) -> web.Response:
        """Show how far the ledger is, what is in it, and the newest checkpoint that is kept."""
        return json_answer(await read_in_lane(request, self._status))

    async def accounts(self, request: web.Request) -> web.Response:
        """List all accounts, oldest first, and how many jobs run for each."""
        asked = page(request)

        def read() -> tuple[list[accounts.StoredAccount], dict[str, int]]:
            with self._service.views.long_snapshot() as snapshot:
                return accounts.every(snapshot.cursor), snapshot.count_running_by_owner()

        every, running = await read_in_lane(request, read)
        shown = [
            Account(
                *(each.uuid, each.email, checked_role(each.role)),
                *(each.created, running.get(each.uuid, 0)),
            )
            for each in every[asked.bounds]
        ]
        return page_answer(asked, len(every), shown)

    async def retention(self, request: web.Request) -> web.Response:
        """Show how retention stands: the policy, what is due next, what waits."""
        status = await read_in_lane(request, self._service.retention.status)
        return json_answer(_standing(status))

    async def plan(self, request: web.Request) -> web.Response:
        """Show what a sweep would discard under a policy at a moment: a dry run."""
        asked = _moment(request), _keep(request), _keep_last(request)
        plan = await read_in_lane(request, lambda: self._service.retention.plan(*asked))
        return json_answer(_plan(plan))

    def _status(self) -> LedgerStatus:
        service = self._service
        service.environment.renew_and_wait()
        with service.views.long_snapshot() as snapshot:
            jobs = snapshot.count_by_state()
            kept = checkpoints.newest(snapshot.cursor)
            count = len(accounts.every(snapshot.cursor))
        return LedgerStatus(
            position=service.ledger.position,
            store="SQLite" if isinstance(service.database, SqliteDatabase) else "PostgreSQL",
            jobs=jobs,
            accounts=count,
            checkpoint=None if kept is None else KeptCheckpoint(timestamp(kept.made), kept.note),
            verifier=str(service.checkpoints.verifier),
            pools=tuple(
                PoolStatus(space.name, space.storage_type, space.free_bytes)
                for space in service.environment.pools()
            ),
        )


def _standing(found: RetentionStatus) -> RetentionStanding:
    """Return every key, null where there is no value; times and durations are ISO 8601."""
    return RetentionStanding(
        keep=duration_text(found.keep),
        keep_last=found.keep_last,
        since=timestamp_or_none(found.since),
        next_due=timestamp_or_none(found.next_due),
        swept=_discarded(found.swept),
        waiting=_discarded(found.waiting),
        archives=tuple(ArchiveFile(each.name, each.bytes) for each in found.archives),
        unreadable=tuple(found.unreadable),
        parked=tuple(map(_parked, found.parked)),
        clock_moved_by=_length_or_none(found.clock_moved),
        clock_behind_by=_length_or_none(found.clock_behind),
    )


def _length_or_none(by: timedelta | None) -> str | None:
    return None if by is None else duration_text(abs(by))


def _discarded(found: SweepSummary | None) -> Discarded | None:
    if found is None:
        return None
    return Discarded(timestamp(found.at), found.trees, found.jobs, found.streams)


def _parked(found: Parking) -> ParkedStream:
    at = timestamp(found.at)
    return ParkedStream(found.stream, found.reader, found.reason, at, found.handling)


def _plan(plan: Plan) -> RetentionPlan:
    return RetentionPlan(
        keep=duration_text(plan.keep),
        keep_last=plan.keep_last,
        cutoff=timestamp(plan.cutoff),
        position=plan.position,
        digest=plan.digest,
        trees_total=len(plan.trees),
        jobs_total=sum(len(tree.jobs) for tree in plan.trees),
        streams_total=len(plan.streams),
        trees=tuple(map(_tree, plan.trees[:TREES_SHOWN])),
        streams=plan.streams[:STREAMS_SHOWN],
    )


def _tree(tree: DiscardedTree) -> PlannedTree:
    return PlannedTree(tree.jobs[0], len(tree.jobs), tree.owner, timestamp(tree.ended))


def _moment(request: web.Request) -> datetime | None:
    text = request.query.get("as_of")
    return None if text is None else read_time(text, "as_of")


def _keep(request: web.Request) -> timedelta | None:
    text = request.query.get("keep")
    if text is None:
        return None
    keep = duration(text)
    if keep is None or keep > KEEP_MOST:
        most = duration_text(KEEP_MOST)
        raise BadRequest(f"keep must be a duration such as P3D, up to {most}", point="keep")
    return keep


def _keep_last(request: web.Request) -> int | None:
    text = request.query.get("keep_last")
    if text is None:
        return None
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(KEEP_LAST_MOST))
    if not is_number or int(text) > KEEP_LAST_MOST:
        raise BadRequest(f"keep_last goes from 0 to {KEEP_LAST_MOST}", point="keep_last")
    return int(text)
