"""Heartbeats of many jobs over HTTP, against aiohttp that parses and answers the same bytes."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from api.composition import open_ledger
from api.service.ids import new_id
from api.service.settings import Settings
from ledger.domain.events.producers import Holder, JobRegistered
from ledger.domain.producers.commands import RegisterJob
from ledger.domain.producers.limits import limits
from ledger.store.writer import Caller
from scripts.benchmarks.support.data_directories import ask, request_bytes, seed
from scripts.benchmarks.support.processes import Served, answering, load, serving
from scripts.benchmarks.support.rows import Round, Row, row
from scripts.benchmarks.support.scale import Setting

CONNECTIONS = 32
JOBS = 1_000
BODY = b'{"attempt": 1}'


def heartbeats(setting: Setting) -> Row:
    """Reports that say no more than that an attempt is alive, of a thousand jobs by turns."""
    scale, data = setting
    paths = [f"/api/v1/jobs/{job}/reports" for job in asyncio.run(_seed(data))]
    requests = [request_bytes("POST", path, BODY) for path in paths]
    with serving(data, "--no-copying") as server:
        answer = ask(server, "POST", paths[0], BODY)
        with answering(answer.body, answer.content_type) as bare:
            for each in (server, bare):
                load(each, requests, connections=CONNECTIONS, count=2 * JOBS)
            rounds = [_round(server, bare, requests, scale.gets) for _ in range(scale.rounds)]
    note = f"{CONNECTIONS} connections, {JOBS:,} jobs by turns; floor: bare aiohttp, same bytes"
    return row("heartbeats", "reports/s", rounds, at_least=0.6, note=note)


def _round(server: Served, bare: Served, requests: list[bytes], count: int) -> Round:
    floor = load(bare, requests, connections=CONNECTIONS, count=count)
    done = load(server, requests, connections=CONNECTIONS, count=count)
    return Round(done.rate, floor.rate, done.p50_ms, done.p99_ms)


async def _seed(data: Path) -> list[str]:
    seeded = await seed(data)
    jobs = [new_id() for _ in range(JOBS)]
    said = JobRegistered("//benchmark", limits(lease_s=90), datetime.now(UTC))
    async with open_ledger(data, Settings(data=data).named_pools()) as opened:
        await asyncio.gather(
            *(
                opened.ledger.execute(
                    RegisterJob(seeded.owner, job, "backup", said, None, Holder("00" * 32)),
                    Caller(seeded.owner, ""),
                )
                for job in jobs
            )
        )
    return jobs
