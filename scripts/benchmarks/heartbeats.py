"""Heartbeats of many jobs over HTTP, against aiohttp that parses and answers the same bytes."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter, sleep
from typing import NamedTuple

from api.data.location import LEDGER_FILE
from scripts.benchmarks.support.data_directories import ask, request_bytes
from scripts.benchmarks.support.databases import databases
from scripts.benchmarks.support.files import last_position
from scripts.benchmarks.support.processes import Served, answering, load, serving
from scripts.benchmarks.support.producing import seed_jobs
from scripts.benchmarks.support.rows import Round, Row, missing, row
from scripts.benchmarks.support.scale import Scale, Setting

CONNECTIONS = 32
JOBS = 1_000
BODY = b'{"attempt": 1}'
BEAT_EVERY_S = 30
CPU_MOST = 25.0
"""The largest share of a core in per cent that 10,000 jobs may take."""


def heartbeats(setting: Setting) -> Row:
    """Reports that say no more than that an attempt is alive, of a thousand jobs by turns."""
    scale, data = setting
    jobs = asyncio.run(seed_jobs(data, JOBS)).jobs
    return _heartbeats("heartbeats", _against_bare(data, jobs, scale))


def heartbeats_two_processes(setting: Setting) -> Row:
    """The same with the ledger in PostgreSQL, by two processes at one address."""
    scale, data = setting
    with databases(data / "postgres") as urls:
        jobs = asyncio.run(seed_jobs(data, JOBS, url=next(urls))).jobs
        rounds = _against_bare(data, jobs, scale, "--processes", "2")
    return _heartbeats("heartbeats-2-processes", rounds)


def heartbeats_at_rest(setting: Setting) -> Row:
    """The processor time of the service while all jobs beat as often as they should."""
    scale, data = setting
    seeded = asyncio.run(seed_jobs(data, scale.beating_jobs))
    requests = _beats(seeded.jobs)
    with serving(data, "--no-copying") as server:
        answer = ask(server, "POST", _path(seeded.jobs[0]), BODY)
        load(server, requests, connections=CONNECTIONS, count=len(requests))
        with answering(answer.body, answer.content_type) as bare:
            before = last_position(data / LEDGER_FILE)
            done = _beat(server, requests, scale.beat_seconds)
            events = last_position(data / LEDGER_FILE) - before
            floor = _beat(bare, requests, scale.beat_seconds)
    note = (
        f"{scale.beating_jobs:,} jobs, every {BEAT_EVERY_S} s: {done.beats:,} beats,"
        f" {events} events; aim: {CPU_MOST:.0f} %, no events; floor: bare aiohttp, same bytes"
    )
    rounds = [Round(done.cpu_percent, floor.cpu_percent)]
    found = row(
        "heartbeats-at-rest", "% of a core", rounds, at_least=None, note=note, lower_is_better=True
    )
    return missing(found) if done.cpu_percent > CPU_MOST or events else found


def _heartbeats(name: str, rounds: Sequence[Round]) -> Row:
    note = f"{CONNECTIONS} connections, {JOBS:,} jobs by turns; floor: bare aiohttp, same bytes"
    return row(name, "reports/s", rounds, at_least=0.6, note=note)


def _against_bare(data: Path, jobs: Sequence[str], scale: Scale, *flags: str) -> list[Round]:
    requests = _beats(jobs)
    with serving(data, "--no-copying", *flags) as server:
        answer = ask(server, "POST", _path(jobs[0]), BODY)
        with answering(answer.body, answer.content_type) as bare:
            for each in (server, bare):
                load(each, requests, connections=CONNECTIONS, count=2 * JOBS)
            return [_round(server, bare, requests, scale.gets) for _ in range(scale.rounds)]


def _round(server: Served, bare: Served, requests: Sequence[bytes], count: int) -> Round:
    floor = load(bare, requests, connections=CONNECTIONS, count=count)
    done = load(server, requests, connections=CONNECTIONS, count=count)
    return Round(done.rate, floor.rate, done.p50_ms, done.p99_ms)


class _Beaten(NamedTuple):
    beats: int
    cpu_percent: float


def _beat(server: Served, requests: Sequence[bytes], seconds: int) -> _Beaten:
    """Let a part of the jobs beat in each second."""
    each = max(1, len(requests) // BEAT_EVERY_S)
    started, used_s = perf_counter(), _cpu_s(server)
    for second in range(seconds):
        first = second * each % len(requests)
        load(server, requests[first : first + each], connections=CONNECTIONS, count=each)
        sleep(max(0.0, started + second + 1 - perf_counter()))
    taken_s = perf_counter() - started
    return _Beaten(seconds * each, 100 * (_cpu_s(server) - used_s) / taken_s)


def _cpu_s(server: Served) -> float:
    """Return the processor time that a server of ours has taken."""
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _beats(jobs: Sequence[str]) -> list[bytes]:
    return [request_bytes("POST", _path(job), BODY) for job in jobs]


def _path(job: str) -> str:
    return f"/api/v1/jobs/{job}/reports"
