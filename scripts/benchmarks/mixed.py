"""Memory under a load of everything that clients ask for, for a quarter of an hour."""

import asyncio
import random
from collections.abc import Iterator
from statistics import median
from time import monotonic

from scripts.benchmarks.lists import make_ledger
from scripts.benchmarks.support.data_directories import request_bytes
from scripts.benchmarks.support.processes import BenchmarkBroken, Served, memory_mib, serving
from scripts.benchmarks.support.rows import Round, Row, row
from scripts.benchmarks.support.scale import Setting
from scripts.load import load

CONNECTIONS = 8
PORTION = 60
PORTION_S = 1.0
"""How often a portion is asked for; slower if the service is slower."""
JOBS_ASKED_FOR = 2_000
WARM_SHARE = 0.2
"""The part of the time, three minutes of fifteen, in which memory may grow ..."""
AT_LEAST = 1 / 1.1
"""... and by how much it may grow after that."""
SERVER_ERRORS = 500
_SEED = 17


def memory(setting: Setting) -> Row:
    """The memory at the end, against that after the first minutes."""
    seconds = setting.scale.mixed_seconds
    ledger = make_ledger(setting.directory / "data", setting.scale.listed_jobs)
    with ledger.views.long_snapshot() as snapshot:
        jobs = list(snapshot.listed_jobs(ledger.owner, None, limit=JOBS_ASKED_FOR))
    ledger.views.close()
    with serving(ledger.data, "--no-copying") as server:
        samples = asyncio.run(_under_load(server, jobs, seconds))
    warm = [mib for at, mib in samples if WARM_SHARE <= at / seconds < 2 * WARM_SHARE]
    end = [mib for at, mib in samples if at / seconds >= 1 - WARM_SHARE]
    note = (
        f"{PORTION} requests of everything a second for {seconds:g} s, {len(jobs):,} of"
        f" {setting.scale.listed_jobs:,} jobs; floor: after a fifth of the time"
    )
    rounds = [Round(median(end), median(warm))]
    return row("mixed-memory", "MiB", rounds, at_least=AT_LEAST, note=note, lower_is_better=True)


async def _under_load(server: Served, jobs: list[str], seconds: float) -> list[tuple[float, float]]:
    """Return the memory after each portion, with the time."""
    requests = _requests(jobs)
    samples = []
    began = monotonic()
    while (at := monotonic() - began) < seconds:
        portion = [next(requests) for _ in range(PORTION)]
        done = await load(
            server.host,
            server.port,
            portion.__getitem__,
            connections=CONNECTIONS,
            requests=PORTION,
        )
        if any(status >= SERVER_ERRORS for status in done.statuses):
            raise BenchmarkBroken(f"not every request was answered: {done.statuses}")
        samples.append((at, memory_mib(server)))
        await asyncio.sleep(max(0.0, at + PORTION_S - (monotonic() - began)))
    return samples


def _requests(jobs: list[str]) -> Iterator[bytes]:
    """Yield requests of all kinds, mostly short ones."""
    draw = random.Random(_SEED)  # noqa: S311 - nothing to do with secrets
    while True:
        job = draw.choice(jobs)
        path = draw.choices(
            [
                f"/jobs/{job}/",
                f"/jobs/?limit=20&offset={draw.randrange(len(jobs))}",
                f"/jobs/?state=success&limit=50&offset={draw.randrange(len(jobs))}",
                "/jobs/?limit=50&after=",
                f"/drives/?limit=20&offset={draw.randrange(len(jobs))}",
                f"/drives/?name__contains=disk&limit=20&offset={draw.randrange(len(jobs))}",
                "/logs/?limit=20",
                f"/jobs/{job}/history/",
                "/jobs/statistics/?hours=24",
                "/drives/?limit=1000",
            ],
            [30, 10, 5, 5, 10, 2, 5, 5, 0.2, 0.2],
        )[0]
        yield request_bytes("GET", f"/api/2.0{path}")
        if draw.random() < 1 / PORTION:
            yield request_bytes("POST", "/api/2.0/tags/", b'{"name": "tag of a benchmark"}')
