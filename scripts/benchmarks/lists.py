"""A page of 20 jobs in one state, out of 100,000 jobs and out of 1,000.

A page should cost as much as it shows, however long the list is. COUNT, which an answer also needs,
is timed separately.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from time import perf_counter
from types import MappingProxyType
from typing import NamedTuple

from msgspec.structs import replace

from api.composition import open_ledger
from api.data.location import LEDGER_FILE
from api.resources.walks import List, cursor_of
from api.service.ids import new_id
from ledger.application import Ledger
from ledger.domain.aggregates.drive import Drive
from ledger.domain.aggregates.job import Job, JobState
from ledger.domain.events.drives import DriveDefinition
from ledger.domain.events.jobs import Resource
from ledger.store.seam import Cursor, RowKey
from ledger.store.seam import Row as Stored
from ledger.store.sqlite.connections import sqlite_reader
from projections.rows import rows
from projections.views.generations import live_generation, put_rows
from projections.views.views import Views
from projections.views.walks import Key
from scripts.benchmarks.support.data_directories import EMAIL, PASSWORD, request_bytes
from scripts.benchmarks.support.processes import Served, load, serving
from scripts.benchmarks.support.rows import Round, Row, percentile_ms, row
from scripts.benchmarks.support.scale import GIB, Setting
from scripts.load import Result

FEW = 1_000
PAGE = 20
KEYED = 50
CONNECTIONS = 32
COUNTS = 50
WRITTEN_JOBS = 2_000
_STATES: tuple[JobState, ...] = ("success",) * 8 + ("failed", "started")
_FILTER = ("success",)
_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
NO_LABELS: Mapping[str, str] = MappingProxyType({})
_DEFINITION = DriveDefinition("disk of a benchmark", "disk", GIB, "dssd")


class LedgerOfJobs(NamedTuple):
    data: Path
    owner: str
    views: Views


class _Read(NamedTuple):
    rate: float
    latencies_s: list[float]


def job_list(setting: Setting) -> Row:
    """`Snapshot.jobs`, then COUNT and whole requests in the note."""
    scale, directory = setting
    many = make_ledger(directory / "many", scale.listed_jobs)
    few = make_ledger(directory / "few", FEW)
    rounds = []
    for _ in range(scale.rounds):
        floor, done = _pages(few, scale.list_reads), _pages(many, scale.list_reads)
        p50, p99 = (percentile_ms(done.latencies_s, share) for share in (0.50, 0.99))
        rounds.append(Round(done.rate, floor.rate, p50, p99))
    note = (
        f"{scale.listed_jobs:,} jobs, floor {FEW:,}, 80 % in the state;"
        f" COUNT {_count_ms(many):.2f} and {_count_ms(few):.2f} ms;"
        f" HTTP with COUNT {_http(many, scale.gets):,.0f} and {_http(few, scale.gets):,.0f}/s"
    )
    for each in (many, few):
        each.views.close()
    return row("job-list", "pages/s", rounds, at_least=0.9, note=note)


def key_page(setting: Setting) -> Row:
    """A page of a walk, as long as the job page asks for, through a million jobs and a thousand.

    It is asked for by HTTP, at the front and from the middle of the list; nothing is counted.
    """
    scale, directory = setting
    many = make_ledger(directory / "many", scale.keyed_jobs)
    few = make_ledger(directory / "few", FEW)
    rounds = []
    with serving(many.data, "--no-copying") as long, serving(few.data, "--no-copying") as short:
        for _ in range(scale.rounds):
            floor = _load_pages(short, _middle(few), scale.gets)
            done = _load_pages(long, _middle(many), scale.gets)
            rounds.append(Round(done.rate, floor.rate, done.p50_ms, done.p99_ms))
    for each in (many, few):
        each.views.close()
    note = f"{KEYED} of {scale.keyed_jobs:,} jobs, floor of {FEW:,}; half of them from the middle"
    return row("key-page", "pages/s", rounds, at_least=0.5, note=note)


def select_page(setting: Setting) -> Row:
    """A page of `/api/v1/jobs` by a label that every one of a million jobs has, and without it."""
    scale, directory = setting
    many = make_ledger(directory / "many", scale.keyed_jobs, labels={"env": "prod"})
    rounds = []
    with serving(many.data, "--no-copying") as server:
        for _ in range(scale.rounds):
            floor = _load_v1(server, f"limit={KEYED}", scale.gets)
            done = _load_v1(server, f"limit={KEYED}&select=env%3Dprod", scale.gets)
            rounds.append(Round(done.rate, floor.rate, done.p50_ms, done.p99_ms))
    many.views.close()
    note = f"{KEYED} of {scale.keyed_jobs:,} jobs, all with the label; floor without a selector"
    return row("select-page", "pages/s", rounds, at_least=0.7, note=note)


def _load_v1(server: Served, query: str, count: int) -> Result:
    request = request_bytes("GET", f"/api/v1/jobs?{query}")
    load(server, [request], connections=CONNECTIONS, count=CONNECTIONS)
    return load(server, [request], connections=CONNECTIONS, count=count // 8)


def _middle(ledger: LedgerOfJobs) -> str:
    """Return the cursor of a job in the middle of the list."""
    with ledger.views.snapshot() as snapshot:
        middle = snapshot.count_jobs(ledger.owner, None) // 2
        (uuid,) = snapshot.listed_jobs(ledger.owner, None, limit=1, offset=middle)
        (tree,) = snapshot.jobs_among([uuid], ledger.owner)
    key = Key(tree.job.created, tree.job.uuid)
    return cursor_of(key, List("jobs", ledger.owner, ()).filters)


def _load_pages(server: Served, cursor: str, count: int) -> Result:
    """Request the first page and one in the middle by turns."""
    requests = [
        request_bytes("GET", f"/api/2.0/jobs/?limit={KEYED}&after={after}")
        for after in ("", cursor)
    ]
    load(server, requests, connections=CONNECTIONS, count=CONNECTIONS)
    return load(server, requests, connections=CONNECTIONS, count=count // 8)


def _pages(ledger: LedgerOfJobs, count: int) -> _Read:
    """Read pages, each in a snapshot of its own like a request's."""

    def page() -> None:
        with ledger.views.snapshot() as snapshot:
            found = snapshot.listed_jobs(ledger.owner, _FILTER, limit=PAGE)
            assert len(snapshot.jobs_among(list(found), ledger.owner)) == PAGE

    return _time(page, count)


def _count_ms(ledger: LedgerOfJobs) -> float:
    def count() -> None:
        with ledger.views.snapshot() as snapshot:
            snapshot.count_jobs(ledger.owner, _FILTER)

    return median(_time(count, COUNTS).latencies_s) * 1000


def _http(ledger: LedgerOfJobs, count: int) -> float:
    request = request_bytes("GET", f"/api/2.0/jobs/?state={_FILTER[0]}&limit={PAGE}")
    with serving(ledger.data, "--no-copying") as server:
        load(server, [request], connections=CONNECTIONS, count=CONNECTIONS)
        return load(server, [request], connections=CONNECTIONS, count=count // 4).rate


def _time(work: Callable[[], None], count: int) -> _Read:
    latencies = []
    started = perf_counter()
    for _ in range(count):
        begun = perf_counter()
        work()
        latencies.append(perf_counter() - begun)
    return _Read(count / (perf_counter() - started), latencies)


# Making them: the rows alone, as no reader looks at events


def make_ledger(data: Path, jobs: int, labels: Mapping[str, str] = NO_LABELS) -> LedgerOfJobs:
    data.mkdir()
    owner = asyncio.run(_make_jobs(data, jobs, labels))
    return LedgerOfJobs(data, owner, Views(sqlite_reader(data / LEDGER_FILE), lambda: 0))


async def _make_jobs(data: Path, jobs: int, labels: Mapping[str, str]) -> str:
    async with open_ledger(data) as opened:
        account = await opened.accounts.add(EMAIL, PASSWORD)
        await asyncio.to_thread(_write, opened.ledger, account.uuid, jobs, labels)
    return account.uuid


def _write(ledger: Ledger, owner: str, jobs: int, labels: Mapping[str, str]) -> None:
    puts: dict[RowKey, Stored] = {}

    def write(cursor: Cursor) -> None:
        put_rows(cursor, live_generation(cursor), puts)

    for number, made in enumerate(_clones(owner, jobs, labels), start=1):
        puts |= made
        if number % WRITTEN_JOBS == 0 or number == jobs:
            ledger.exclusive(write).result()
            puts.clear()


def _clones(owner: str, jobs: int, labels: Mapping[str, str]) -> Iterator[dict[RowKey, Stored]]:
    """Yield clones of a few drives, one a second, eight in ten of which succeed."""
    sources = [_drive(owner, _BEGAN) for _ in range(max(1, jobs // 100))]
    yielded = dict[RowKey, Stored]()
    for source in sources:
        yielded |= rows(source)
    for number in range(jobs):
        at = _BEGAN + timedelta(seconds=number)
        state = _STATES[number * 7 % len(_STATES)]
        destination = _drive(owner, at)
        job = _job(owner, sources[number % len(sources)].uuid, destination.uuid, at, state)
        yielded |= rows(replace(job, labels=labels))
        if state != "failed":
            yielded |= rows(destination)
        yield yielded
        yielded = {}


def _drive(owner: str, at: datetime) -> Drive:
    return Drive(
        uuid=new_id(), owner=owner, definition=_DEFINITION, pool="main", origin="clone", created=at
    )


def _job(owner: str, source: str, destination: str, at: datetime, state: JobState) -> Job:
    uuid = new_id()
    return Job(
        uuid=uuid,
        operation="drive_clone",
        owner=owner,
        resources=(
            Resource("drives", source, "source"),
            Resource("drives", destination, "destination"),
        ),
        root=uuid,
        parent=None,
        ordinal=0,
        created=at,
        last_modified=at + timedelta(seconds=30),
        state=state,
    )
