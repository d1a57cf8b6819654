"""Several processes over one ledger in PostgreSQL, and what one hears of the others."""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import msgspec
import psycopg

from api.composition import ServiceEnvironment, now
from ledger.application import Ledger
from ledger.domain.commands import CreateJob, StartAttempt, UpdateProgress
from ledger.domain.errors import StoreFailed
from ledger.store.postgres.connections import connect, postgres_reader
from ledger.store.postgres.store import PostgresStore
from ledger.store.seam import Commit
from ledger.store.writer import Caller
from projections.views.postgres_writer import PostgresProjection
from scripts.benchmarks.support.databases import databases
from scripts.benchmarks.support.processes import BenchmarkBroken, running
from scripts.benchmarks.support.rows import Round, Row, percentile_ms, row
from scripts.benchmarks.support.scale import Setting
from scripts.benchmarks.support.update_process import NodeUpdated

NODES = 4
CALLERS = 64
MANY_CALLERS = 256
PAUSE_S = 0.0001
PATIENCE_S = 60.0
_CALLER = Caller("benchmark", "")
_decode = msgspec.json.Decoder(NodeUpdated).decode


class _Updated(NamedTuple):
    rate: float
    latencies_s: list[float]


def updates_four_nodes(setting: Setting) -> Row:
    """64 callers on four processes, against the same on one."""
    return _compared(setting, "updates-4-processes", CALLERS, at_least=0.8)


def updates_many_callers(setting: Setting) -> Row:
    """256 callers on four processes, against 64 on one."""
    return _compared(setting, "updates-256-callers", MANY_CALLERS, at_least=None)


def _compared(setting: Setting, name: str, callers: int, *, at_least: float | None) -> Row:
    scale, directory = setting
    rounds = []
    with databases(directory / "postgres") as urls:
        for number in range(scale.rounds):
            own = directory / str(number)
            one = _updated(next(urls), own / "one", 1, CALLERS, scale.updates_each)
            all_ = _updated(next(urls), own / "all", NODES, callers, scale.updates_each)
            p50, p99 = percentile_ms(all_.latencies_s, 0.5), percentile_ms(all_.latencies_s, 0.99)
            rounds.append(Round(all_.rate, one.rate, p50, p99))
    note = f"{callers} callers on {NODES} processes; floor: {CALLERS} on one"
    return row(name, "updates/s", rounds, at_least=at_least, note=note)


def _updated(url: str, directory: Path, nodes: int, callers: int, each: int) -> _Updated:
    """The updates of all nodes, begun at once, from the first to the last."""
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
        return _Updated(len(latencies) / (perf_counter() - started), latencies)


def tail(setting: Setting) -> Row:
    """All events of four processes as a fifth is told of them, against reading them once."""
    scale, directory = setting
    rounds, events = [], 0
    with databases(directory / "postgres") as urls:
        for number in range(scale.rounds):
            url = next(urls)
            with closing(_ledger(url)) as ledger:
                heard = _Heard(ledger)
                _updated(url, directory / str(number), NODES, CALLERS, scale.updates_each)
                seconds = heard.until(_count(url))
            rounds.append(Round(heard.events / seconds, _read_rate(url)))
            events += heard.events
    note = f"{NODES} writers, {events:,} events in all rounds, none missed, none twice"
    return row("tail", "events/s", rounds, at_least=None, note=note)


class _Heard:
    """What a listener is told: how many events, in the order of their positions."""

    def __init__(self, ledger: Ledger) -> None:
        self.events = 0
        self._position = 0
        self._began = self._last = 0.0
        self._all = threading.Event()
        self._wanted = -1
        ledger.listen(self._hear)

    def until(self, events: int) -> float:
        """Waits for all of so many events; the seconds from the first to the last."""
        self._wanted = events
        if self.events < events and not self._all.wait(PATIENCE_S):
            raise BenchmarkBroken(f"{events - self.events} events were not told of")
        if self.events > events:
            raise BenchmarkBroken("events were told of twice")
        return self._last - self._began

    def _hear(self, commit: Commit) -> None:
        self._last = perf_counter()
        self._began = self._began or self._last
        assert commit.position > self._position, "told in the order of positions"
        self._position = commit.position
        self.events += len(commit.events)
        if self.events == self._wanted:
            self._all.set()


def _count(url: str) -> int:
    with postgres_reader(url).log() as log:
        return log.count()


def _read_rate(url: str) -> float:
    with postgres_reader(url).log() as log:
        started = perf_counter()
        events = sum(1 for _ in log.events())
        return events / (perf_counter() - started)


def told_elsewhere(setting: Setting) -> Row:
    """From a command at one node, through its commit, to a listener at another.

    The floor is a bare NOTIFY, which is a commit too.
    """
    scale, directory = setting
    count = scale.frames
    with databases(directory / "postgres") as urls:
        url = next(urls)
        rounds = [_told(url, count) for _ in range(scale.rounds)]
    note = "with the commit; floor: a bare NOTIFY, to a thread that waits for it"
    return row("told-elsewhere", "ms p50", rounds, at_least=None, note=note, lower_is_better=True)


def _told(url: str, count: int) -> Round:
    with closing(_ledger(url)) as one, closing(_ledger(url)) as two:
        arrived: list[float] = []
        two.listen(lambda _: arrived.append(perf_counter()))
        job = f"job-of-{perf_counter()}"
        one.execute_blocking(CreateJob("benchmark", job, "benchmark"), _CALLER)
        one.execute_blocking(StartAttempt(job, 1, "benchmark"), _CALLER)
        updates = (UpdateProgress(job, 1, 1, number, count) for number in range(1, count + 1))
        sent = [
            _timed(partial(one.execute_blocking, update, _CALLER), arrived) for update in updates
        ]
    return Round(
        percentile_ms(sent, 0.5),
        percentile_ms(_notified(url, count), 0.5),
        percentile_ms(sent, 0.5),
        percentile_ms(sent, 0.99),
    )


def _timed(send: Callable[[], object], arrived: list[float]) -> float:
    """From the moment at which it was sent to its arrival, which is waited for."""
    arrived.clear()
    sent = perf_counter()
    send()
    while not arrived:
        if perf_counter() - sent > PATIENCE_S:
            raise BenchmarkBroken("nothing arrived")
        time.sleep(PAUSE_S)
    return arrived[0] - sent


def _notified(url: str, count: int) -> list[float]:
    arrived: list[float] = []
    stopping = threading.Event()
    with closing(connect(url)) as listening, closing(psycopg.connect(url, autocommit=True)) as told:
        listening.execute("LISTEN bare")

        def listen() -> None:
            while not stopping.is_set():
                notified = listening.raw.notifies(timeout=0.1, stop_after=1)
                arrived.extend(perf_counter() for _ in notified)

        thread = threading.Thread(target=listen)
        thread.start()
        latencies = [_timed(lambda: told.execute("NOTIFY bare"), arrived) for _ in range(count)]
        stopping.set()
        thread.join()
    return latencies


def _ledger(url: str) -> Ledger:
    projection = PostgresProjection()
    store = PostgresStore(url, projection)
    return Ledger(store, projection, ServiceEnvironment({}), now=now, on_failure=_fail)


def _fail(error: StoreFailed) -> None:
    raise error
