"""Reports that become events, durable, over HTTP: one at a time, many at once, and in batches.

They say that they come late, and tell of different minutes: others become events only now and then.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from time import perf_counter

import orjson

from api.composition import open_ledger
from api.data.location import LEDGER_FILE
from api.service.settings import Settings
from ledger.domain.events.producers import Phase, ProgressReported
from ledger.domain.producers.commands import ReportProgress
from ledger.store.writer import Caller
from scripts.benchmarks.support.data_directories import request_bytes
from scripts.benchmarks.support.files import (
    commit_singly,
    copy_ledger,
    fill_wal,
    last_position,
    opened_raw,
)
from scripts.benchmarks.support.processes import BenchmarkBroken, Served, load, running, serving
from scripts.benchmarks.support.producing import Producing, seed_jobs
from scripts.benchmarks.support.rows import Round, Row, missing, row
from scripts.benchmarks.support.scale import Setting
from scripts.load import Result

JOBS = 500
CALLERS = 32
BATCH = 500
MULTIPLE_MOST = 4.0
"""The largest p50 of one connection, in multiples of one commit."""
_numbers = count(1)
_SENT, _AGO = datetime.now(UTC), timedelta(days=1_000)


def reports(setting: Setting) -> Row:
    """Over the same commands of as many callers in the ledger layer, without HTTP."""
    scale, data = setting
    seeded = _seed(data)
    rounds = []
    for _ in range(scale.rounds):
        floor = asyncio.run(_commands(data, seeded, CALLERS, scale.reports_each))
        with serving(data, "--no-copying") as server:
            _warm_up(server, seeded)
            requests = _requests(seeded, CALLERS * scale.reports_each)
            done = _load(server, data, requests, CALLERS)
        rounds.append(Round(done.rate, floor, done.p50_ms, done.p99_ms))
    note = f"{CALLERS} connections; floor: the ledger layer, {CALLERS} callers"
    return row("reports", "reports/s", rounds, at_least=0.35, note=note)


def reports_by_hand(setting: Setting) -> Row:
    """Over aiohttp and SQLite, written by hand, that commit the same rows in groups."""
    scale, data = setting
    seeded = _seed(data)
    number = CALLERS * scale.reports_each
    rounds = []
    with serving(data, "--no-copying") as server:
        _warm_up(server, seeded)
        with _by_hand(data) as bare:
            for _ in range(scale.rounds):
                requests = _requests(seeded, number)
                floor = load(bare, requests, connections=CALLERS, count=number)
                done = _load(server, data, requests, CALLERS)
                rounds.append(Round(done.rate, floor.rate, done.p50_ms, done.p99_ms))
    note = f"{CALLERS} connections; floor: aiohttp and SQLite by hand, same rows in groups"
    return row("reports-by-hand", "reports/s", rounds, at_least=1.0, note=note)


def report_alone(setting: Setting) -> Row:
    """The p50 on one connection, over one commit of an event row."""
    scale, data = setting
    seeded = _seed(data)
    floor_file = data / "floor.sqlite"
    rounds = []
    with serving(data, "--no-copying") as server:
        _warm_up(server, seeded)
        for _ in range(scale.rounds):
            copy_ledger(data / LEDGER_FILE, floor_file)
            with opened_raw(floor_file) as connection:
                commit_ms = 1000 / commit_singly(connection, scale.reports_each)
            done = _load(server, data, _requests(seeded, scale.reports_each), 1)
            rounds.append(Round(done.p50_ms, commit_ms, done.p50_ms, done.p99_ms))
    note = f"1 connection; floor: one commit of an event row; aim: {MULTIPLE_MOST:.0f} times that"
    found = row("report-alone", "ms", rounds, at_least=None, note=note, lower_is_better=True)
    return missing(found) if found.value > MULTIPLE_MOST * found.floor else found


def report_batches(setting: Setting) -> Row:
    """Over as many commands at once in the ledger layer."""
    scale, data = setting
    seeded = _seed(data)
    batches = max(2, CALLERS * scale.reports_each // BATCH)
    rounds = []
    for _ in range(scale.rounds):
        floor = asyncio.run(_commands(data, seeded, BATCH, batches))
        with serving(data, "--no-copying") as server:
            _warm_up(server, seeded)
            requests = [_batch(seeded) for _ in range(batches)]
            done = _load(server, data, requests, 1, each=BATCH)
        rounds.append(Round(done.rate * BATCH, floor, done.p50_ms, done.p99_ms))
    note = f"{BATCH} in a request, 1 connection; floor: the ledger layer, {BATCH} commands at once"
    return row("report-batches", "reports/s", rounds, at_least=0.6, note=note)


def _seed(data: Path) -> Producing:
    return asyncio.run(seed_jobs(data, JOBS))


def _warm_up(server: Served, seeded: Producing) -> None:
    """Let the service know the jobs."""
    requests = _requests(seeded, 2 * JOBS)
    load(server, requests, connections=CALLERS, count=len(requests))


def _load(
    server: Served, data: Path, requests: Sequence[bytes], connections: int, *, each: int = 1
) -> Result:
    """Send them once; all reports in them, `each` in a request, must have become events."""
    before = last_position(data / LEDGER_FILE)
    done = load(server, requests, connections=connections, count=len(requests))
    events = last_position(data / LEDGER_FILE) - before
    if events != len(requests) * each:
        raise BenchmarkBroken(f"{len(requests) * each} reports became {events} events")
    return done


def _requests(seeded: Producing, number: int) -> list[bytes]:
    """Return reports of the jobs by turns, none of which says what an earlier one said."""
    return [request_bytes("POST", _path(seeded.jobs[nth % JOBS]), _body()) for nth in range(number)]


def _path(job: str) -> str:
    return f"/api/v1/jobs/{job}/reports"


def _body() -> bytes:
    return orjson.dumps(_report())


def _report() -> dict[str, object]:
    """Return what becomes an event: a minute after the report before it, in another phase."""
    number = next(_numbers)
    observed = _SENT - _AGO + number * timedelta(minutes=1)
    return {
        "attempt": 1,
        "buffered": True,
        "progress": {"done": number, "total": 1_000_000},
        "phase": {"name": f"part {number}"},
        "observed_at": observed.isoformat(timespec="milliseconds"),
        "sent_at": _SENT.isoformat(timespec="milliseconds"),
    }


def _batch(seeded: Producing) -> bytes:
    body = {"reports": [{"job": job, **_report()} for job in seeded.jobs[:BATCH]]}
    return request_bytes("POST", "/api/v1/reports", orjson.dumps(body))


async def _commands(data: Path, seeded: Producing, callers: int, each: int) -> float:
    """Report by callers at once, each of a job of its own; return how many in a second."""
    async with open_ledger(data, Settings(data=data).named_pools()) as opened:
        await asyncio.wrap_future(opened.ledger.exclusive(fill_wal))

        async def report(job: str) -> None:
            for _ in range(each):
                number = next(_numbers)
                phase = Phase(f"part {number}")
                said = ProgressReported(1, datetime.now(UTC), number, 1_000_000, phase=phase)
                command = ReportProgress(job, said, buffered=True)
                await opened.ledger.execute(command, Caller(seeded.owner, ""))

        started = perf_counter()
        await asyncio.gather(*map(report, seeded.jobs[:callers]))
        return callers * each / (perf_counter() - started)


@contextmanager
def _by_hand(data: Path) -> Iterator[Served]:
    floor_file = data / "floor.sqlite"
    copy_ledger(data / LEDGER_FILE, floor_file)
    module = "scripts.benchmarks.support.group_commit"
    with running((module, str(floor_file))) as (_, output):
        yield Served("127.0.0.1", int(output.readline()))
