"""GETs beside many clients that do their worst, most of them without a login."""

import asyncio
from collections.abc import Callable
from typing import IO

import msgspec

from scripts.benchmarks.support.data_directories import ask, async_cookie, request_bytes, seed
from scripts.benchmarks.support.flood_process import Flood, Kind
from scripts.benchmarks.support.processes import BenchmarkBroken, Served, load, running, serving
from scripts.benchmarks.support.rows import Round, Row, missing, percentile_ms, row
from scripts.benchmarks.support.scale import Setting

CONNECTIONS = 4
GETS = 400
REST_PORTIONS = 5
BOMBS = 40
BOMBS_S = 5.0
BOMBS_MORE_MS = 50.0
"""How much longer a GET may take beside bombs than at rest ..."""
SOCKETS = 1_000
DISKS = 1_000
SOCKETS_S = 15.0
SOCKETS_MOST_MS = 100.0
"""... and beside those who follow a clone ..."""
BOUND = ("--limit=websockets-per-account=64",)
SLOW_CLIENTS = 500
SLOW_S = 31.0
SLOW_MOST_MS = 250.0
"""... and how long beside slow clients, none of whom may be connected in the end."""


def bombs(setting: Setting) -> Row:
    """Bodies of 255 kB that would inflate to 250 MiB, eight at a time."""
    found, _ = asyncio.run(_round(setting, "bombs", BOMBS, BOMBS_S))
    note = f"GET, {CONNECTIONS} connections, beside bodies that inflate to 250 MiB; floor: at rest"
    made = _row("get-beside-bombs", found, note)
    return missing(made) if found.value > found.floor + BOMBS_MORE_MS else made


def slow_heads(setting: Setting) -> Row:
    """Heads that drip."""
    return _slow(setting, "heads")


def slow_bodies(setting: Setting) -> Row:
    """Bodies that drip."""
    return _slow(setting, "bodies")


def slow_readers(setting: Setting) -> Row:
    """Pipelined requests whose answers are not read."""
    return _slow(setting, "readers")


def sockets(setting: Setting) -> Row:
    """A thousand websockets that one account wants while it clones a thousand disks."""
    found, connected = asyncio.run(_beside_sockets(setting))
    note = (
        f"GET, {CONNECTIONS} connections, beside {SOCKETS:,} websockets that an account wants, of"
        f" which it gets {connected}, and its clone of {DISKS:,} disks; floor: at rest"
    )
    made = _row("get-beside-sockets", found, note)
    return missing(made) if found.value > SOCKETS_MOST_MS else made


def _slow(setting: Setting, kind: Kind) -> Row:
    found, connected = asyncio.run(_round(setting, kind, SLOW_CLIENTS, SLOW_S))
    note = (
        f"GET, {CONNECTIONS} connections, beside {SLOW_CLIENTS} slow {kind}; {connected} of them"
        f" connected after {SLOW_S:g} s; floor: at rest"
    )
    made = _row(f"get-beside-slow-{kind}", found, note)
    return missing(made) if connected or found.value > SLOW_MOST_MS else made


def _row(name: str, found: Round, note: str) -> Row:
    return row(name, "ms p99", [found], at_least=None, note=note, lower_is_better=True)


async def _round(setting: Setting, kind: Kind, clients: int, seconds: float) -> tuple[Round, int]:
    """Measure at rest, then beside a flood; return how many of its clients are left, too."""
    seeded = await seed(setting.directory)
    request = request_bytes("GET", f"/api/2.0/jobs/{seeded.job}/")
    with serving(setting.directory) as server:
        flood = Flood(server.host, server.port, kind, clients, seconds)
        return await _beside(server, request, flood)


async def _beside_sockets(setting: Setting) -> tuple[Round, int]:
    seeded = await seed(setting.directory, disks=DISKS)
    request = request_bytes("GET", "/api/2.0/tags/")
    clone = f"/api/2.0/servers/{seeded.server}/action/?do=clone"
    with serving(setting.directory, "--no-copying", *BOUND) as server:
        cookie = async_cookie(server)
        flood = Flood(server.host, server.port, "sockets", SOCKETS, SOCKETS_S, cookie)
        return await _beside(server, request, flood, lambda: ask(server, "POST", clone))


async def _beside(
    server: Served, request: bytes, flood: Flood, once_begun: Callable[[], object] = lambda: None
) -> tuple[Round, int]:
    def portion() -> list[float]:
        return load(server, [request], connections=CONNECTIONS, count=GETS).latencies_s

    rest = [latency for _ in range(REST_PORTIONS) for latency in portion()]
    with running(("scripts.benchmarks.support.flood_process",)) as (given, output):
        _begin(flood, given, output)
        ending = asyncio.create_task(asyncio.to_thread(output.readline))
        beginning = asyncio.create_task(asyncio.to_thread(once_begun))
        beside: list[float] = []
        while not ending.done():
            beside += await asyncio.to_thread(portion)
        await beginning
        connected = int(await ending)
    p50, p99 = percentile_ms(beside, 0.50), percentile_ms(beside, 0.99)
    return Round(p99, percentile_ms(rest, 0.99), p50, p99), connected


def _begin(flood: Flood, given: IO[bytes], output: IO[bytes]) -> None:
    given.write(msgspec.json.encode(flood) + b"\n")
    given.flush()
    if output.readline() != b"ready\n":
        raise BenchmarkBroken("the flood did not begin")
