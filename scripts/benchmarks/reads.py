"""GET of a job with four children, 32 connections, against aiohttp answering as many bytes.

The service remembers jobs until they change. `job-get` asks for one job again and again, like a
watcher; `job-get-each` for another each time; and `job-get-read` for another each time of a service
that remembers none, so that every request reads.
"""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from api.composition import open_ledger
from api.service.ids import new_id
from api.service.settings import Settings
from ledger.domain.commands.servers import CloneServer
from ledger.store.writer import Caller
from scripts.benchmarks.support.data_directories import (
    Seeded,
    ask,
    async_cookie,
    request_bytes,
    seed,
)
from scripts.benchmarks.support.databases import databases
from scripts.benchmarks.support.listeners import listeners
from scripts.benchmarks.support.processes import Served, answering, load, serving
from scripts.benchmarks.support.rows import Round, Row, row
from scripts.benchmarks.support.scale import Setting
from scripts.load import Result

CONNECTIONS = 32
WARM_UP = 500
MORE_JOBS = 2_000
"""Jobs that are read in turn."""
REMEMBERING_NONE = "--limit=shown-bytes=0"


def job_get(setting: Setting) -> Row:
    """One job: login, a look at what has changed, JSON."""
    return _against_bare(setting, "job-get", jobs=1, at_least=0.5)


def job_get_each(setting: Setting) -> Row:
    """Another job each time."""
    return _against_bare(setting, "job-get-each", jobs=MORE_JOBS, at_least=None)


def job_get_read(setting: Setting) -> Row:
    """Another job each time: also a snapshot with five jobs and their resources."""
    return _against_bare(setting, "job-get-read", REMEMBERING_NONE, jobs=MORE_JOBS, at_least=None)


def job_get_processes(setting: Setting) -> Row:
    """From PostgreSQL by two processes, against one; nothing is remembered there."""
    scale, data = setting
    with databases(data / "postgres") as urls:
        jobs = asyncio.run(_seed(data, MORE_JOBS, next(urls)))
        requests = [request_bytes("GET", f"/api/2.0/jobs/{job}/") for job in jobs]
        rounds = []
        for _ in range(scale.rounds):
            one, two = (
                _load_service(data, requests, scale.gets, "--processes", number) for number in "12"
            )
            rounds.append(Round(two.rate, one.rate, two.p50_ms, two.p99_ms))
    note = f"{CONNECTIONS} connections; floor: one process, on the same {os.cpu_count()} cores"
    return row("job-get-2-processes", "requests/s", rounds, at_least=None, note=note)


def job_get_watched(setting: Setting) -> Row:
    """With metrics and a log in JSON, against the same service without."""
    scale, data = setting
    jobs = asyncio.run(_seed(data, MORE_JOBS))
    requests = [request_bytes("GET", f"/api/2.0/jobs/{job}/") for job in jobs]
    watched = ("--metrics-port", "0", "--log-format", "json")
    rounds = []
    for _ in range(scale.rounds):
        floor = _load_service(data, requests, scale.gets)
        done = _load_service(data, requests, scale.gets, *watched)
        rounds.append(Round(done.rate, floor.rate, done.p50_ms, done.p99_ms))
    note = f"{CONNECTIONS} connections; floor: no metrics, and a log in text"
    return row("job-get-watched", "requests/s", rounds, at_least=0.97, note=note)


def get_beside_subscribers(setting: Setting) -> Row:
    """GET of one job while many sockets are open and receive nothing."""
    scale, data = setting
    seeded = asyncio.run(seed(data))
    requests = [request_bytes("GET", f"/api/2.0/jobs/{seeded.job}/")]
    rounds = []
    # All of them come from one address.
    any_number = ("--limit=connections=0", "--limit=connections-per-address=0")
    with serving(data, "--no-copying", *any_number) as server:
        load(server, requests, connections=CONNECTIONS, count=WARM_UP)
        for _ in range(scale.rounds):
            floor = load(server, requests, connections=CONNECTIONS, count=scale.gets)
            with listeners(server, async_cookie(server), sockets=scale.idle_subscribers) as idle:
                idle.wait_until_connected()
                done = load(server, requests, connections=CONNECTIONS, count=scale.gets)
            rounds.append(Round(done.rate, floor.rate, done.p50_ms, done.p99_ms))
    note = f"{scale.idle_subscribers:,} idle subscribers; floor: none"
    return row("get-beside-subscribers", "requests/s", rounds, at_least=0.9, note=note)


def _load_service(data: Path, requests: Sequence[bytes], count: int, *flags: str) -> Result:
    with serving(data, "--no-copying", *flags) as server:
        load(server, requests, connections=CONNECTIONS, count=WARM_UP)
        return load(server, requests, connections=CONNECTIONS, count=count)


def _against_bare(
    setting: Setting, name: str, *flags: str, jobs: int, at_least: float | None
) -> Row:
    scale, data = setting
    paths = [f"/api/2.0/jobs/{job}/" for job in asyncio.run(_seed(data, jobs))]
    requests = [request_bytes("GET", path) for path in paths]
    with serving(data, "--no-copying", *flags) as server:
        body, content_type, _ = ask(server, "GET", paths[0])
        with answering(body, content_type) as bare:
            for each in (server, bare):
                load(each, requests, connections=CONNECTIONS, count=WARM_UP + jobs)
            rounds = [_round(server, bare, requests, scale.gets) for _ in range(scale.rounds)]
    note = f"32 connections, {len(body):,} bytes of JSON, {len(paths):,} jobs by turns"
    return row(name, "requests/s", rounds, at_least=at_least, note=note)


def _round(server: Served, bare: Served, requests: Sequence[bytes], count: int) -> Round:
    floor = load(bare, requests, connections=CONNECTIONS, count=count)
    done = load(server, requests, connections=CONNECTIONS, count=count)
    return Round(done.rate, floor.rate, done.p50_ms, done.p99_ms)


async def _seed(data: Path, count: int, url: str | None = None) -> list[str]:
    """Make running clones of a server with four disks, such as users watch."""
    seeded = await seed(data, url=url)
    jobs = [new_id() for _ in range(count)]
    pools = Settings(data=data).named_pools()
    async with open_ledger(data, pools) as opened:
        await asyncio.gather(
            *(opened.ledger.execute(_clone(seeded, job), Caller(seeded.owner, "")) for job in jobs)
        )
    return jobs


def _clone(seeded: Seeded, job: str) -> CloneServer:
    return CloneServer(seeded.owner, seeded.server, new_id(), job)
