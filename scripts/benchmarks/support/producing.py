"""Running jobs of producers, as a service finds them when it starts."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from api.composition import open_ledger
from api.service.ids import new_id
from api.service.settings import Settings
from ledger.domain.events.producers import Holder, JobRegistered
from ledger.domain.producers.commands import RegisterJob
from ledger.domain.producers.limits import limits
from ledger.store.writer import Caller
from scripts.benchmarks.support.data_directories import seed

LEASE_S = 3_600


class Producing(NamedTuple):
    owner: str
    jobs: Sequence[str]


async def seed_jobs(data: Path, count: int, *, url: str | None = None) -> Producing:
    """Make a data directory with jobs that run; the first attempt of each goes on."""
    seeded = await seed(data, url=url)
    jobs = [new_id() for _ in range(count)]
    said = JobRegistered("//benchmark", limits(lease_s=LEASE_S), datetime.now(UTC))
    async with open_ledger(data, Settings(data=data).named_pools(), url=url) as opened:
        await asyncio.gather(
            *(
                opened.ledger.execute(
                    RegisterJob(seeded.owner, job, "backup", said, None, Holder("00" * 32)),
                    Caller(seeded.owner, ""),
                )
                for job in jobs
            )
        )
    return Producing(seeded.owner, jobs)
