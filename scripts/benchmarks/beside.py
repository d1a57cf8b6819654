"""The effect of two copies on the p99 of reads and updates, against an idle service.

The load comes in small portions, and only those count during which two copies ran all the time.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Protocol

from api.composition import open_service
from api.service.ids import new_id
from api.service.service import Service
from api.service.settings import Settings
from ledger.domain.commands.drives import CloneDrive, DeleteDrives
from ledger.store.writer import Caller
from scripts.benchmarks.support.data_directories import Seeded, ask, image_of, request_bytes, seed
from scripts.benchmarks.support.images import make_image
from scripts.benchmarks.support.processes import BenchmarkBroken, Served, load, serving
from scripts.benchmarks.support.rows import Round, Row, percentile_ms, row
from scripts.benchmarks.support.scale import Setting
from scripts.benchmarks.updates import CALLERS, Updating

COPIES = 2
CLONES = 4
"""Clones in a round: two are being copied, two wait."""
CONNECTIONS = 32
GETS = 500
UPDATES_EACH = 10
IDLE_PORTIONS = 8
ENDED_S = 300
LOOK_S = 0.1
UNUSED_S = 1.5
"""After this long a ledger of which nobody wants anything counts as unused."""


class Loaded(Protocol):
    """A service under one kind of load, with a drive to clone."""

    async def portion(self) -> Sequence[float]:
        """Make some of the load; return the latencies in seconds."""

    async def clone(self) -> str:
        """Ask for a copy; return the new drive."""

    async def unfinished(self) -> int:
        """Return how many copies run or wait."""

    async def delete(self, drives: Sequence[str]) -> None: ...


def get_while_copying(setting: Setting) -> Row:
    """GET of one job with four children over HTTP, like a watcher; it may come from memory."""
    return asyncio.run(_gets(setting))


def update_while_copying(setting: Setting) -> Row:
    """The p99 of durable progress updates, in the process that copies."""
    return asyncio.run(_updates(setting, "updates-copying-p99", share=0.99, at_least=1 / 4))


def median_update_while_copying(setting: Setting) -> Row:
    """The same, of their p50."""
    return asyncio.run(_updates(setting, "updates-copying", share=0.5, at_least=1 / 3))


def copies_beside_updates(setting: Setting) -> Row:
    """How fast the copies are that leave room for these updates, against copies alone."""
    return asyncio.run(_copies(setting))


async def _gets(setting: Setting) -> Row:
    seeded = await _seed(setting)
    with serving(setting.directory, "--copies-per-pool", str(COPIES)) as server:
        rounds = await _rounds(_Gets(server, seeded), setting.scale.beside_rounds)
    what = f"GET of one job again and again, {CONNECTIONS} connections"
    return _row("get-while-copying", rounds, what, at_least=1 / 3)


async def _updates(setting: Setting, name: str, *, share: float, at_least: float) -> Row:
    async with _updating(setting) as updates:
        rounds = await _rounds(updates, setting.scale.beside_rounds, share)
    return _row(name, rounds, f"updates, {CALLERS} callers", at_least=at_least, share=share)


@asynccontextmanager
async def _updating(setting: Setting) -> "AsyncIterator[_Updates]":
    seeded = await _seed(setting)
    settings = Settings(data=setting.directory, copies_per_pool=COPIES)
    async with open_service(settings) as service:
        yield _Updates(service, await Updating.begin(service.ledger), seeded)


async def _copies(setting: Setting) -> Row:
    rounds = []
    async with _updating(setting) as updates:
        for _ in range(setting.scale.beside_rounds):
            await asyncio.sleep(UNUSED_S)
            alone_s = await _copy(updates, beside=False)
            rounds.append(Round(1 / await _copy(updates, beside=True), 1 / alone_s))
    note = f"{CLONES} copies, {COPIES} at once, beside updates of {CALLERS} callers; floor: alone"
    return row("copies-beside-updates", "batches/s", rounds, at_least=0.4, note=note)


async def _copy(updates: "_Updates", *, beside: bool) -> float:
    """Make the copies of a round; return the seconds that they took."""
    started = perf_counter()
    drives = [await updates.clone() for _ in range(CLONES)]
    while await updates.unfinished():
        if beside:
            await updates.portion()
        else:
            await asyncio.sleep(LOOK_S)
    seconds = perf_counter() - started
    await updates.delete(drives)
    return seconds


async def _seed(setting: Setting) -> Seeded:
    """Make a data directory whose first disk has an image."""
    size = setting.scale.beside_bytes
    seeded = await seed(setting.directory, disk_bytes=size)
    make_image(image_of(setting.directory, seeded.disks[0]), size)
    return seeded


async def _rounds(loaded: Loaded, count: int, share: float = 0.99) -> list[Round]:
    await loaded.portion()
    return [await _round(loaded, share) for _ in range(count)]


async def _round(loaded: Loaded, share: float) -> Round:
    """Load an idle service, then one that copies; delete the copies again."""
    idle = [latency for _ in range(IDLE_PORTIONS) for latency in await loaded.portion()]
    drives = [await loaded.clone() for _ in range(CLONES)]
    busy: list[float] = []
    while True:
        portion = await loaded.portion()
        if await loaded.unfinished() < COPIES:
            break
        busy += portion
    await _wait_for_copies(loaded)
    await loaded.delete(drives)
    if not busy:
        raise BenchmarkBroken("the copies ended before a portion of the load did")
    p50, p99 = percentile_ms(busy, 0.50), percentile_ms(busy, 0.99)
    return Round(percentile_ms(busy, share), percentile_ms(idle, share), p50, p99)


async def _wait_for_copies(loaded: Loaded) -> None:
    async with asyncio.timeout(ENDED_S):
        while await loaded.unfinished():  # noqa: ASYNC110 - another process has no event of ours
            await asyncio.sleep(LOOK_S)


def _row(
    name: str, rounds: Sequence[Round], what: str, *, at_least: float, share: float = 0.99
) -> Row:
    note = f"{what}, while two copies run; floor: idle"
    unit = f"ms p{share * 100:.0f}"
    return row(name, unit, rounds, at_least=at_least, note=note, lower_is_better=True)


class _Gets:
    """Over HTTP, by a load generator in a process of its own."""

    def __init__(self, server: Served, seeded: Seeded) -> None:
        self._server = server
        self._source = seeded.disks[0]
        self._requests = [request_bytes("GET", f"/api/2.0/jobs/{seeded.job}/")]

    async def portion(self) -> Sequence[float]:
        done = load(self._server, self._requests, connections=CONNECTIONS, count=GETS)
        return done.latencies_s

    async def clone(self) -> str:
        path = f"/api/2.0/drives/{self._source}/action/?do=clone"
        return str(ask(self._server, "POST", path).json["objects"][0]["uuid"])

    async def unfinished(self) -> int:
        meta = ask(self._server, "GET", "/api/2.0/jobs/?state=started&limit=1").json["meta"]
        return int(meta["total_count"])

    async def delete(self, drives: Sequence[str]) -> None:
        for drive in drives:
            ask(self._server, "DELETE", f"/api/2.0/drives/{drive}/")


class _Updates:
    """By callers in the event loop of the service."""

    def __init__(self, service: Service, updating: Updating, seeded: Seeded) -> None:
        self._service = service
        self._updating = updating
        self._source = seeded.disks[0]
        self._caller = Caller(seeded.owner, "")

    async def portion(self) -> Sequence[float]:
        return (await self._updating.round(UPDATES_EACH)).latencies_s

    async def clone(self) -> str:
        drive = new_id()
        command = CloneDrive(self._caller.actor, self._source, drive, new_id())
        await self._service.ledger.execute(command, self._caller)
        return drive

    async def unfinished(self) -> int:
        with self._service.views.snapshot() as snapshot:
            return snapshot.count_jobs(self._caller.actor, ("started",))

    async def delete(self, drives: Sequence[str]) -> None:
        command = DeleteDrives(self._caller.actor, tuple(drives))
        await self._service.ledger.execute(command, self._caller)
