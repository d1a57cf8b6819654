"""The effect of a compaction on updates, and the time to read a job out of an archive."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter, time_ns

from api.composition import open_ledger
from api.data.location import LEDGER_FILE
from api.service.clocks import now
from api.service.ids import new_id
from api.service.service import OpenLedger
from ledger.archives import Shelf
from ledger.domain.clock_trust import Reading
from ledger.store.sqlite.connections import sqlite_reader
from projections.maintenance.retention.compaction import ARCHIVES
from projections.maintenance.retention.service import Ran, Retention
from projections.time_travel.past import Past
from projections.views.views import Views
from scripts.benchmarks.support.histories import OWNER, make_ledger
from scripts.benchmarks.support.processes import BenchmarkBroken
from scripts.benchmarks.support.rows import Round, Row, percentile_ms, row
from scripts.benchmarks.support.scale import Setting
from scripts.benchmarks.updates import Updating

EACH = 8
"""Events of a job; its drive has two more."""
CALLERS = 32
UPDATES_EACH = 20
IDLE_PORTIONS = 20


def compaction(setting: Setting) -> Row:
    """The p99 of updates by 32 callers while all that is old is discarded, archived and deleted."""
    return asyncio.run(_compaction(setting))


def as_of(setting: Setting) -> Row:
    """A job as it was half way, from an archive, against one whose events are in the store."""
    return asyncio.run(_as_of(setting))


async def _compaction(setting: Setting) -> Row:
    trees = setting.scale.compacted_trees
    make_ledger(setting.directory / LEDGER_FILE, trees * (EACH + 2), EACH)
    async with open_ledger(setting.directory) as opened:
        updating = await Updating.begin(opened.ledger, CALLERS)
        idle = await _portions(updating, IDLE_PORTIONS)
        started = perf_counter()
        running = asyncio.create_task(_run_retention(opened, setting.directory))
        busy: list[float] = []
        while not running.done():
            busy += await _portions(updating, 1)
        seconds = perf_counter() - started
        ran = await running
    if ran.swept is None or ran.compacted is None or not busy:
        raise BenchmarkBroken("nothing was compacted")
    p50, p99 = percentile_ms(busy, 0.50), percentile_ms(busy, 0.99)
    note = (
        f"updates, {CALLERS} callers, while {ran.swept.trees:,} trees of {ran.compacted.events:,}"
        f" events go in {seconds:.0f} s; floor: the same without"
    )
    rounds = [Round(p99, percentile_ms(idle, 0.99), p50, p99)]
    return row("compaction", "ms p99", rounds, at_least=1 / 3, note=note, lower_is_better=True)


async def _portions(updating: Updating, count: int) -> list[float]:
    latencies: list[float] = []
    for _ in range(count):
        latencies += (await updating.round(UPDATES_EACH)).latencies_s
    return latencies


async def _run_retention(opened: OpenLedger, data: Path) -> Ran:
    retention = Retention(opened.ledger, data / ARCHIVES, now=now, new_id=new_id, clocks=_clocks)
    return await asyncio.to_thread(retention.run)


def _clocks() -> Reading:
    """Return the clocks of a machine that booted at the beginning of 1970."""
    since = timedelta(microseconds=time_ns() // 1_000)
    return Reading("benchmark", datetime(1970, 1, 1, tzinfo=UTC) + since, since)


async def _as_of(setting: Setting) -> Row:
    scale, data = setting
    file = data / LEDGER_FILE
    make_ledger(file, scale.compacted_trees // 10 * (EACH + 2), EACH)
    async with open_ledger(data) as opened:
        views = Views(sqlite_reader(file), lambda: opened.ledger.commits)
        try:
            jobs, position = _jobs(views, scale.past_jobs), opened.ledger.position // 2
            live = _time_each(views, data, jobs, position)
            await _run_retention(opened, data)
            archived = _time_each(views, data, jobs, position)
        finally:
            views.close()
    p50, p99 = percentile_ms(archived, 0.50), percentile_ms(archived, 0.99)
    note = f"{len(jobs)} jobs as of the middle of the ledger; floor: out of the store"
    rounds = [Round(p50, percentile_ms(live, 0.50), p50, p99)]
    return row("as-of-archived", "ms p50", rounds, at_least=None, note=note, lower_is_better=True)


def _jobs(views: Views, count: int) -> list[str]:
    """Return some jobs of the older half, in random order."""
    with views.long_snapshot() as snapshot:
        found = list(snapshot.listed_jobs(OWNER, None, limit=-1))
    older = found[len(found) // 2 :]
    return older[:: max(1, len(older) // count)][:count]


def _time_each(views: Views, data: Path, jobs: Sequence[str], position: int) -> list[float]:
    """Return how long each takes to read, in a snapshot of its own like a request's."""
    shelf = Shelf(data / ARCHIVES)
    latencies = []
    for job in jobs:
        started = perf_counter()
        with views.long_snapshot() as snapshot:
            tree = Past(snapshot, shelf, position).job(job, OWNER)
        latencies.append(perf_counter() - started)
        if tree is None:
            raise BenchmarkBroken(f"job {job} was not there")
    return latencies
