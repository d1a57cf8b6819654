"""Updates by several processes on one ledger in PostgreSQL."""

from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import msgspec

from ledger.store.postgres.store import PostgresStore
from projections.views.postgres_writer import PostgresProjection
from scripts.benchmarks.support.databases import databases
from scripts.benchmarks.support.processes import BenchmarkBroken, running
from scripts.benchmarks.support.rows import Round, Row, percentile_ms, row
from scripts.benchmarks.support.scale import Setting
from scripts.benchmarks.support.update_process import NodeUpdated

NODES = 4
CALLERS = 64
MANY_CALLERS = 256
_decode = msgspec.json.Decoder(NodeUpdated).decode


class _Updates(NamedTuple):
    rate: float
    latencies_s: list[float]


def updates_four_nodes(setting: Setting) -> Row:
    """64 callers on four processes, against the same on one."""
    return _compare(setting, "updates-4-processes", CALLERS, at_least=0.8)


def updates_many_callers(setting: Setting) -> Row:
    """256 callers on four processes, against 64 on one."""
    return _compare(setting, "updates-256-callers", MANY_CALLERS, at_least=None)


def _compare(setting: Setting, name: str, callers: int, *, at_least: float | None) -> Row:
    scale, directory = setting
    rounds = []
    with databases(directory / "postgres") as urls:
        for number in range(scale.rounds):
            own = directory / str(number)
            one = _run_updates(next(urls), own / "one", 1, CALLERS, scale.updates_each)
            all_ = _run_updates(next(urls), own / "all", NODES, callers, scale.updates_each)
            p50, p99 = percentile_ms(all_.latencies_s, 0.5), percentile_ms(all_.latencies_s, 0.99)
            rounds.append(Round(all_.rate, one.rate, p50, p99))
    note = f"{callers} callers on {NODES} processes; floor: {CALLERS} on one"
    return row(name, "updates/s", rounds, at_least=at_least, note=note)


def _run_updates(url: str, directory: Path, nodes: int, callers: int, each: int) -> _Updates:
    """Run the updates of all nodes, started together, and time them from first to last."""
    PostgresStore(url, PostgresProjection()).close()
    with ExitStack() as stack:
        pipes = []
        for number in range(nodes):
            own = directory / str(number)
            own.mkdir(parents=True)
            module = "scripts.benchmarks.support.update_process"
            words = (module, url, str(own), str(callers // nodes), str(each))
            pipes.append(stack.enter_context(running(words)))
        for _, output in pipes:
            if output.readline() != b"ready\n":
                raise BenchmarkBroken("a node could not begin")
        started = perf_counter()
        for given, _ in pipes:
            given.write(b"go\n")
            given.flush()
        latencies = [
            latency for _, output in pipes for latency in _decode(output.readline()).latencies_s
        ]
        return _Updates(len(latencies) / (perf_counter() - started), latencies)
