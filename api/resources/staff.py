"""`/ledger/`: what auditors and operators see of the whole ledger; nothing here changes it."""

from datetime import datetime, timedelta

from aiohttp import web

from api.data.location import SqliteDatabase
from api.http.errors import BadRequest
from api.http.requests import page, read_time
from api.http.responses import JsonObject, json_answer, page_answer
from api.http.streams import read_in_lane
from api.service.service import Service
from api.text.iso8601 import duration, duration_text
from ledger.domain.decisions.housekeeping import KEEP_MOST
from ledger.domain.events import DiscardedTree
from ledger.domain.retention_policy import Plan
from ledger.store.parameters import timestamp
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
        shown: list[JsonObject] = [
            {
                "uuid": account.uuid,
                "email": account.email,
                "role": account.role,
                "created": account.created,
                "running_jobs": running.get(account.uuid, 0),
            }
            for account in every[asked.bounds]
        ]
        return page_answer(asked, len(every), shown)

    async def retention(self, request: web.Request) -> web.Response:
        """Show how retention stands: the policy, what is due next, what waits."""
        return json_answer(
            _standing_json(await read_in_lane(request, self._service.retention.status))
        )

    async def plan(self, request: web.Request) -> web.Response:
        """Show what a sweep would discard under a policy at a moment: a dry run."""
        as_of, keep = _moment(request), _keep(request)
        plan = await read_in_lane(request, lambda: self._service.retention.plan(as_of, keep))
        return json_answer(_plan_json(plan))

    def _status(self) -> JsonObject:
        service = self._service
        with service.views.long_snapshot() as snapshot:
            jobs = snapshot.count_by_state()
            kept = checkpoints.newest(snapshot.cursor)
            count = len(accounts.every(snapshot.cursor))
        database = service.database
        return {
            "position": service.ledger.position,
            "store": "SQLite" if isinstance(database, SqliteDatabase) else "PostgreSQL",
            "jobs": jobs,
            "accounts": count,
            "checkpoint": None if kept is None else {"at": timestamp(kept.made), "note": kept.note},
            "verifier": str(service.checkpoints.verifier),
            "pools": [
                {
                    "name": space.name,
                    "storage_type": space.storage_type,
                    "free_bytes": space.free_bytes,
                }
                for space in service.environment.pools()
            ],
        }


def _standing_json(standing: RetentionStatus) -> JsonObject:
    """Return every key, null where there is no value; times and durations are ISO 8601."""
    return {
        "keep": duration_text(standing.keep),
        "since": _time_or_none(standing.since),
        "next_due": _time_or_none(standing.next_due),
        "swept": _found_json(standing.swept),
        "waiting": _found_json(standing.waiting),
        "archives": [{"name": each.name, "bytes": each.bytes} for each in standing.archives],
        "unreadable": standing.unreadable,
        "parked": [
            {
                "stream": parking.stream,
                "reader": parking.reader,
                "reason": parking.reason,
                "at": timestamp(parking.at),
                "handling": parking.handling,
            }
            for parking in standing.parked
        ],
        "clock_moved_by": _length_or_none(standing.clock_moved),
        "clock_behind_by": _length_or_none(standing.clock_behind),
    }


def _length_or_none(by: timedelta | None) -> str | None:
    return None if by is None else duration_text(abs(by))


def _found_json(found: SweepSummary | None) -> JsonObject | None:
    if found is None:
        return None
    return {
        "at": timestamp(found.at),
        "trees": found.trees,
        "jobs": found.jobs,
        "streams": found.streams,
    }


def _plan_json(plan: Plan) -> JsonObject:
    return {
        "keep": duration_text(plan.keep),
        "cutoff": timestamp(plan.cutoff),
        "position": plan.position,
        "digest": plan.digest,
        "trees_total": len(plan.trees),
        "jobs_total": sum(len(tree.jobs) for tree in plan.trees),
        "streams_total": len(plan.streams),
        "trees": [_tree_json(tree) for tree in plan.trees[:TREES_SHOWN]],
        "streams": list(plan.streams[:STREAMS_SHOWN]),
    }


def _tree_json(tree: DiscardedTree) -> JsonObject:
    return {
        "job": tree.jobs[0],
        "jobs": len(tree.jobs),
        "owner": tree.owner,
        "ended": timestamp(tree.ended),
    }


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


def _time_or_none(moment: datetime | None) -> str | None:
    return None if moment is None else timestamp(moment)
