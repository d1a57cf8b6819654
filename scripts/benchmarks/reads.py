"""GET of a job with four children, 32 connections, against aiohttp answering as many bytes.

The service remembers a job that is asked for again until something is written. So that every
request reads, each asks for another job, and there are more jobs than are remembered; what a job
that is remembered costs is in the note. Nothing is written meanwhile.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from api.composition import new_id, open_ledger
from api.settings import Settings
from ledger.commands import CloneServer
from ledger.store.writer import Caller
from projections.views.reading import REMEMBERED_TREES
from scripts.benchmarks.processes import Served, answering, load, serving
from scripts.benchmarks.rows import Round, Row, row
from scripts.benchmarks.scale import Setting
from scripts.benchmarks.seeding import Seeded, ask, request_bytes, seed

CONNECTIONS = 32
WARM_UP = 500
MORE_JOBS = REMEMBERED_TREES + 100
"""Asked for by turns, each is forgotten before its turn comes again."""


def job_get(setting: Setting) -> Row:
    """The whole way of a request: login, snapshot, five jobs and their resources, JSON."""
    scale, data = setting
    paths = [f"/api/2.0/jobs/{job}/" for job in asyncio.run(_seed(data))]
    requests = [request_bytes("GET", path) for path in paths]
    rounds, remembered = [], []
    with serving(data, "--no-copying") as server:
        body, content_type = ask(server, "GET", paths[0])
        with answering(body, content_type) as bare:
            for each in (server, bare):
                load(each, requests, connections=CONNECTIONS, count=WARM_UP)
            for _ in range(scale.rounds):
                rounds.append(_round(server, bare, requests, scale.gets))
                same = load(server, requests[:1], connections=CONNECTIONS, count=scale.gets)
                remembered.append(same.rate)
    note = (
        f"32 connections, {len(body):,} bytes of JSON, another of {len(paths):,} jobs each time;"
        f" one and the same job, remembered: {median(remembered):,.0f}/s"
    )
    return row("job-get", "requests/s", rounds, at_least=0.5, note=note)


def _round(server: Served, bare: Served, requests: Sequence[bytes], count: int) -> Round:
    floor = load(bare, requests, connections=CONNECTIONS, count=count)
    done = load(server, requests, connections=CONNECTIONS, count=count)
    return Round(done.rate, floor.rate, done.p50_ms, done.p99_ms)


async def _seed(data: Path) -> list[str]:
    """Running clones of a server with four disks: what somebody would watch."""
    seeded = await seed(data)
    jobs = [new_id() for _ in range(MORE_JOBS)]
    pools = {pool.name: pool for pool in Settings(data=data).named_pools()}
    async with open_ledger(data, pools) as opened:
        await asyncio.gather(
            *(opened.ledger.execute(_clone(seeded, job), Caller(seeded.owner, "")) for job in jobs)
        )
    return jobs


def _clone(seeded: Seeded, job: str) -> CloneServer:
    return CloneServer(seeded.owner, seeded.server, new_id(), job)
