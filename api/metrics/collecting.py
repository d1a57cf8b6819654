"""Puts together what is told: counters of the process, and what the ledger says of itself."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar, get_args

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from api.answers import aside
from api.composition import Worker
from api.metrics.counting import Requests
from api.metrics.table import METRICS, PREFIX
from api.service import Service
from ledger.application import Ledger
from ledger.commands import Command
from ledger.errors import StoreFailed
from ledger.metering import Distribution
from ledger.store import checkpoints
from ledger.world import PoolSpace
from projections.retention.planning import policy_of
from projections.retention.standing import parked_streams
from projections.views.sweeping import first_end

T = TypeVar("T")
Samples = Iterable[tuple[tuple[str, ...], T]]
"""Values by their labels."""
Part = Callable[[], Iterable[Metric]]

READ_S = 10.0
"""How old what is read from the store may be."""

_TABLE = {metric.name: metric for metric in METRICS}
_RECORDED = {(command.__name__, "recorded"): 0 for command in get_args(Command)}
"""Told from the beginning: Prometheus sees no increase where a series begins at one."""
_STATES = ("started", "success", "failed", "cancelled")


log = logging.getLogger(__name__)


class Metrics:
    """Tells of one process, in parts."""

    def __init__(self, *parts: Part, store: "StoreRead | None" = None) -> None:
        self._parts = parts
        self._store = store
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    async def text(self) -> bytes:
        """All of it, as Prometheus reads it; what comes from the store may be some seconds old."""
        if self._store is not None:
            await self._store.renew()
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """For `prometheus_client`, which calls it for each text."""
        for part in self._parts:
            yield from part()
        if self._store is not None:
            yield from self._store.metrics()


def of_service(service: Service, requests: Requests) -> Metrics:
    """What a process tells that answers requests."""
    return Metrics(
        lambda: _of_requests(requests),
        lambda: _of_ledger(service.ledger),
        lambda: _of_images(service.copied_bytes(), service.spaces()),
        lambda: [_gauge("websocket_clients", [((), service.feed.subscribers)])],
        store=StoreRead(service),
    )


def of_worker(worker: Worker) -> Metrics:
    """What a process tells that works on images only; of jobs, services tell."""
    return Metrics(
        lambda: _of_ledger(worker.ledger),
        lambda: _of_images(worker.copied_bytes(), worker.spaces()),
    )


def _of_requests(requests: Requests) -> Iterator[Metric]:
    answered = requests.answered.copy().items()
    yield _counter("requests", [((*asked, str(status)), n) for (*asked, status), n in answered])
    yield _histogram("request_seconds", requests.seconds.items())


def _of_ledger(ledger: Ledger) -> Iterator[Metric]:
    meter = ledger.meter
    yield _counter("commands", (_RECORDED | meter.commands.copy()).items())
    yield _histogram("batch_commands", [((), meter.batch_commands)])
    yield _histogram("commit_seconds", [((), meter.commit_s)])
    yield _gauge("position", [((), ledger.position)])


def _of_images(copied_bytes: int, spaces: Iterable[PoolSpace]) -> Iterator[Metric]:
    yield _counter("copied_bytes", [((), copied_bytes)])
    here = [space for space in spaces if space.here]
    yield _gauge("pool_free_bytes", [((space.name,), space.free_bytes) for space in here])


class _Read(NamedTuple):
    """What the store says."""

    jobs: Mapping[str, int]
    lag: Mapping[str, int]
    parked: int
    overdue_s: float


class StoreRead:
    """What is read from the store now and then; left out as long as that cannot be done."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._read: _Read | None = None
        self._read_at = -READ_S

    async def renew(self) -> None:
        """Reads again what is older than `READ_S`."""
        if time.monotonic() - self._read_at < READ_S:
            return
        self._read_at = time.monotonic()
        try:
            self._read = await aside(self._read_store)
        except StoreFailed as error:
            self._read = None
            log.warning("metrics are told without the store's: %s", error)

    def metrics(self) -> Iterator[Metric]:
        """As of the last time."""
        if self._read is not None:
            yield from _of_store(self._read)

    def _read_store(self) -> _Read:
        service = self._service
        with service.views.long_snapshot() as snapshot:
            jobs = {
                state: count
                for state, _, count in snapshot.count_by(
                    "SELECT state, '', count(*) FROM jobs_g{g} GROUP BY state", ()
                )
            }
        with service.ledger.log() as log:
            newest = checkpoints.newest(log.cursor())
            parked = parked_streams(log)
            ended = first_end(log.cursor(), [each.stream.partition("-")[2] for each in parked])
            now = service.now()
            keep = policy_of(log).keep(now)
            overdue = 0.0 if ended is None else (now - ended - keep).total_seconds()
            lag = {
                "feed": max(0, log.last_position() - service.ledger.position),
                "checkpoint": log.leaf_count() - (newest.size if newest else 0),
            }
        return _Read(jobs, lag, len(parked), max(0.0, overdue))


def _of_store(read: _Read) -> Iterator[Metric]:
    yield _gauge("jobs", [((state,), read.jobs.get(state, 0)) for state in _STATES])
    yield _gauge("reader_lag_events", [((reader,), lag) for reader, lag in read.lag.items()])
    yield _gauge("parked_streams", [((), read.parked)])
    yield _gauge("retention_overdue_seconds", [((), read.overdue_s)])


def _counter(name: str, samples: Samples[float]) -> Metric:
    metric = _TABLE[name]
    family = CounterMetricFamily(PREFIX + name, metric.means, labels=metric.labels)
    for labels, value in samples:
        family.add_metric(labels, value)
    return family


def _gauge(name: str, samples: Samples[float]) -> Metric:
    metric = _TABLE[name]
    family = GaugeMetricFamily(PREFIX + name, metric.means, labels=metric.labels)
    for labels, value in samples:
        family.add_metric(labels, value)
    return family


def _histogram(name: str, samples: Samples[Distribution]) -> Metric:
    metric = _TABLE[name]
    family = HistogramMetricFamily(PREFIX + name, metric.means, labels=metric.labels)
    for labels, values in samples:
        buckets = [
            ("+Inf" if bound == float("inf") else repr(float(bound)), count)
            for bound, count in values.up_to()
        ]
        family.add_metric(labels, buckets, values.total)
    return family
