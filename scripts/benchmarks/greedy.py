"""What an account can do to the others: reads of one beside another that asks for too much."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from api.composition import open_ledger
from api.service.ids import new_id
from api.service.settings import Settings
from ledger.application import Ledger
from ledger.domain.commands.drives import CreateDrives, MarkDriveReady, NewDrive
from ledger.domain.events.drives import DriveDefinition
from ledger.store.writer import Caller
from scripts.benchmarks.support.data_directories import GREEDY, PASSWORD, request_bytes, seed
from scripts.benchmarks.support.greedy_process import Greedy, Kind, begin
from scripts.benchmarks.support.processes import load, memory_mib, running, serving
from scripts.benchmarks.support.rows import Round, Row, missing, percentile_ms, row
from scripts.benchmarks.support.scale import GIB, Setting

CONNECTIONS = 4
GETS = 40
"""Requests of a portion, of which as many are made as there is time."""
REST_PORTIONS = 10
CLIENTS = 48
META_BYTES = 250_000
NAMES_AT_ONCE = 200

UNREAD_MOST_MIB = 400.0
UNREAD_MOST_MS = 100.0
SLOW_MOST_MS = 500.0
SEARCHES_MOST_MS = 50.0

LONG_LIST = request_bytes("GET", "/api/2.0/drives/detail/?limit=0", email=GREEDY)
LOGIN = request_bytes("GET", "/api/2.0/tags/", email=GREEDY)
"""So that the password is remembered: hashing it is another benchmark's."""
SEARCH = request_bytes("GET", "/api/2.0/drives/?name__contains=0&limit=20", email=GREEDY)


Paths = Callable[[str], Sequence[str]]
"""What is asked for of a job."""


class _Found(NamedTuple):
    at_rest_s: list[float]
    beside_s: list[float]
    refused: int
    rest_mib: float
    peak_mib: float


def unread_lists(setting: Setting) -> Row:
    """Lists of drives with much `meta` that nobody reads: the memory, and what others notice."""
    found = _beside_long_lists(setting, "unread", lambda job: [f"/jobs/{job}/"])
    p99 = percentile_ms(found.beside_s, 0.99)
    rounds = [Round(found.peak_mib, found.rest_mib, percentile_ms(found.beside_s, 0.5), p99)]
    note = (
        f"{CLIENTS} unread lists of {setting.scale.long_drives} drives with {META_BYTES:,} bytes of"
        f" meta each, {found.refused} refused; p50 and p99 of another account's GET; floor: at rest"
    )
    made = row("unread-lists", "MiB", rounds, at_least=None, note=note, lower_is_better=True)
    is_missed = found.peak_mib > UNREAD_MOST_MIB or p99 > UNREAD_MOST_MS
    return missing(made) if is_missed else made


def beside_slow_readers(setting: Setting) -> Row:
    """Another account's long reads, while one account reads long lists slowly."""
    found = _beside_long_lists(
        setting,
        "slow",
        lambda job: [
            "/logs/?limit=5",
            f"/jobs/{job}/history/",
            "/jobs/?as_of=1",
            "/jobs/statistics/?hours=1",
        ],
    )
    note = f"logs, history, as_of and statistics beside {CLIENTS} slow readers of another account"
    return _row("beside-slow-readers", found, SLOW_MOST_MS, note)


def beside_searches(setting: Setting) -> Row:
    """Another account's GET, while one account searches many names ten times a second."""
    found = _beside_searches(setting)
    note = f"GET beside ten searches a second in {setting.scale.named_drives:,} names"
    return _row("beside-searches", found, SEARCHES_MOST_MS, note)


def _row(name: str, found: _Found, most_ms: float, note: str) -> Row:
    p50, p99 = percentile_ms(found.beside_s, 0.50), percentile_ms(found.beside_s, 0.99)
    rounds = [Round(p99, percentile_ms(found.at_rest_s, 0.99), p50, p99)]
    note = f"{note}; {found.refused} refused, {found.peak_mib:.0f} MiB; floor: at rest"
    made = row(name, "ms p99", rounds, at_least=None, note=note, lower_is_better=True)
    return missing(made) if p99 > most_ms else made


def _beside_long_lists(setting: Setting, kind: Kind, paths: Paths) -> _Found:
    seeded = asyncio.run(seed(setting.directory))
    meta = {"note": "x" * META_BYTES}
    asyncio.run(_make_drives(setting.directory, setting.scale.long_drives, meta, at_once=1))
    requests = [request_bytes("GET", f"/api/2.0{path}") for path in paths(seeded.job)]
    return _measure(setting, requests, kind, LONG_LIST, CLIENTS)


def _beside_searches(setting: Setting) -> _Found:
    seeded, count = asyncio.run(seed(setting.directory)), setting.scale.named_drives
    asyncio.run(_make_drives(setting.directory, count, {}, at_once=NAMES_AT_ONCE))
    requests = [request_bytes("GET", f"/api/2.0/jobs/{seeded.job}/")]
    return _measure(setting, requests, "often", SEARCH, 1)


def _measure(
    setting: Setting, requests: Sequence[bytes], kind: Kind, asked: bytes, clients: int
) -> _Found:
    with serving(setting.directory, "--no-copying") as server:

        def portion() -> list[float]:
            return load(server, requests, connections=CONNECTIONS, count=GETS).latencies_s

        portion()
        load(server, [LOGIN], connections=1, count=1)
        rest = [latency for _ in range(REST_PORTIONS) for latency in portion()]
        rest_mib = memory_mib(server)
        Path(f"/proc/{server.pid}/clear_refs").write_text("5")  # the peak counts from here
        with running(("scripts.benchmarks.support.greedy_process",)) as (given, output):
            seconds = setting.scale.greedy_seconds
            begin(Greedy(*server[:2], kind, asked, clients, seconds), given, output)
            with ThreadPoolExecutor(1) as waiting:
                ending = waiting.submit(output.readline)
                beside = list[float]()
                while not ending.done():
                    beside += portion()
                refused = int(ending.result())
        return _Found(rest, beside, refused, rest_mib, memory_mib(server, "VmHWM"))


async def _make_drives(data: Path, count: int, meta: dict[str, str], *, at_once: int) -> None:
    """Make drives of the greedy account, some in each command."""
    async with open_ledger(data, Settings(data=data).named_pools()) as opened:
        account = await opened.accounts.add(GREEDY, PASSWORD)
        caller = Caller(account.uuid, "")
        for first in range(0, count, at_once):
            names = range(first, min(first + at_once, count))
            await _make_some(opened.ledger, caller, [f"disk {number}" for number in names], meta)


async def _make_some(
    ledger: Ledger, caller: Caller, names: Sequence[str], meta: dict[str, str]
) -> None:
    drives = tuple(
        NewDrive(new_id(), DriveDefinition(name, "disk", GIB, "dssd", meta)) for name in names
    )
    await ledger.execute(CreateDrives(caller.actor, drives, "blank"), caller)
    await asyncio.gather(*(ledger.execute(MarkDriveReady(each.drive), caller) for each in drives))
