"""GETs beside many clients without a login that do their worst."""

import asyncio
from typing import IO

import msgspec

from scripts.benchmarks.support.data_directories import request_bytes, seed
from scripts.benchmarks.support.flood_process import Flood, Kind
from scripts.benchmarks.support.processes import BenchmarkBroken, load, running, serving
from scripts.benchmarks.support.rows import Round, Row, missing, percentile_ms, row
from scripts.benchmarks.support.scale import Setting

CONNECTIONS = 4
GETS = 400
REST_PORTIONS = 5
BOMBS = 40
BOMBS_S = 5.0
BOMBS_MORE_MS = 50.0
"""How much longer a GET may take beside bombs than at rest ..."""
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
    requests = [request_bytes("GET", f"/api/2.0/jobs/{seeded.job}/")]
    with serving(setting.directory) as server:

        def portion() -> list[float]:
            return load(server, requests, connections=CONNECTIONS, count=GETS).latencies_s

        rest = [latency for _ in range(REST_PORTIONS) for latency in portion()]
        with running(("scripts.benchmarks.support.flood_process",)) as (given, output):
            _begin(Flood(server.host, server.port, kind, clients, seconds), given, output)
            ending = asyncio.create_task(asyncio.to_thread(output.readline))
            beside: list[float] = []
            while not ending.done():
                beside += await asyncio.to_thread(portion)
            connected = int(await ending)
    p50, p99 = percentile_ms(beside, 0.50), percentile_ms(beside, 0.99)
    return Round(p99, percentile_ms(rest, 0.99), p50, p99), connected


def _begin(flood: Flood, given: IO[bytes], output: IO[bytes]) -> None:
    given.write(msgspec.json.encode(flood) + b"\n")
    given.flush()
    if output.readline() != b"ready\n":
        raise BenchmarkBroken("the flood did not begin")
