"""Collects the metrics: counters of the process, and figures read from the ledger."""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import get_args

from prometheus_client import (
    CollectorRegistry,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
)

from api.accounts.service import Accounts
from api.metrics.request_counts import RequestCounts
from api.metrics.table import METRICS
from api.service.admission import Admission
from api.service.environment import ServiceEnvironment
from api.service.service import Service, Worker
from api.service.single_flight import SingleFlight
from ledger.application import Ledger
from ledger.domain.disk_space import DiskState
from ledger.domain.errors.store import StoreFailed
from ledger.domain.events.producers import Outcome
from ledger.store.metrics import PREFIX
from ledger.store.tables import checkpoints
from projections.maintenance.retention.status import due_of, parked_streams
from projections.streams import policy_of

Samples = Iterable[tuple[tuple[str, ...], float]]
"""Values by their labels."""
Part = Callable[[], Iterable[Metric]]

FRESH_S = 10.0
"""How old figures may be that take a read."""

_TABLE = {metric.name: metric for metric in METRICS}
_STATES = ("started", "success", "failed", "cancelled")

# The time when a series began would be another series for each, which nobody reads.
disable_created_metrics()  # type: ignore[no-untyped-call]

log = logging.getLogger(__name__)


class Metrics:
    """The metrics of one process: counters in its memory, and figures that take longer to read."""

    def __init__(self, *parts: Part, reads: Iterable["Read"]) -> None:
        self._parts = parts
        self._reads = tuple(reads)
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    async def text(self) -> bytes:
        """Return all metrics as Prometheus reads them; figures may be some seconds old."""
        await asyncio.gather(*(read.renew() for read in self._reads))
        return generate_latest(self._registry)

    async def close(self) -> None:
        """Wait for reads under way, but not for long."""
        await asyncio.gather(*(read.close() for read in self._reads))

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics; `prometheus_client` calls it for each text."""
        for part in self._parts:
            yield from part()
        for read in self._reads:
            yield from read.metrics


def of_service(service: Service, requests: RequestCounts) -> Metrics:
    """Collect the metrics of a process that answers requests."""
    return Metrics(
        requests.answered.collect,
        requests.seconds.collect,
        requests.outcomes.collect,
        lambda: _of_ledger(service.ledger),
        lambda: [_family("copied_bytes", [((), service.copied_bytes())])],
        lambda: _of_logins(service.accounts),
        lambda: _of_admission(service.admission),
        lambda: [_family("websocket_clients", [((), service.feed.subscribers)])],
        reads=[
            Read("store", lambda: _of_store(service)),
            Read("pools", lambda: _of_pools(service.environment)),
        ],
    )


def of_worker(worker: Worker) -> Metrics:
    """Collect the metrics of a process that only works on images; services report the jobs."""
    return Metrics(
        lambda: _of_ledger(worker.ledger),
        lambda: [_family("copied_bytes", [((), worker.copied_bytes())])],
        reads=[Read("pools", lambda: _of_pools(worker.environment))],
    )


class Read:
    """Metrics that are read now and then, and left out while they cannot be read."""

    def __init__(self, name: str, read: Callable[[], Iterable[Metric]]) -> None:
        self._name = name
        self._read = SingleFlight(name, lambda: list(read()))
        self._read_at = -math.inf
        self.metrics: list[Metric] = []

    async def renew(self) -> None:
        """Read again what is older than `FRESH_S`."""
        if time.monotonic() - self._read_at < FRESH_S:
            return
        try:
            self.metrics = await self._read.value()
            self._read_at = time.monotonic()
        except StoreFailed as error:
            self.metrics = []
            log.warning("metrics are served without those of the %s: %s", self._name, error)
        except Exception:  # whatever it is, the other metrics must be served
            self.metrics = []
            log.exception("metrics are served without those of the %s", self._name)

    async def close(self) -> None:
        await self._read.close()


def _of_ledger(ledger: Ledger) -> Iterator[Metric]:
    meter = ledger.meter
    for counted in (meter.commands, meter.batch_commands, meter.commit_seconds):
        yield from counted.collect()
    yield _family("position", [((), ledger.position)])
    yield _family("clock_offset_seconds", [((), ledger.clock.offset().total_seconds())])
    disk = ledger.disk_space()
    if disk is not None:
        states = [((state.value,), float(state is disk.state)) for state in DiskState]
        yield _family("disk_state", states)
        yield _family("disk_free_bytes", [((), disk.free_bytes)])


def _of_logins(accounts: Accounts) -> Iterator[Metric]:
    for counted in (accounts.meter.logins, accounts.meter.wait_seconds):
        yield from counted.collect()
    yield _family("login_queue", [((), accounts.waiting)])


def _of_admission(admission: Admission) -> Iterator[Metric]:
    yield from admission.refused.collect()
    used = (((resource,), float(number)) for resource, number in admission.used())
    yield _family("budget_used", used)


def _of_pools(environment: ServiceEnvironment) -> Iterator[Metric]:
    environment.renew_and_wait()
    answering = [space for space in environment.here() if not space.silent]
    yield _family("pool_free_bytes", [((space.name,), space.free_bytes) for space in answering])


def _of_store(service: Service) -> Iterator[Metric]:
    with service.views.long_snapshot() as snapshot:
        jobs, produced = snapshot.count_by_state(), snapshot.count_produced()
    yield _family("jobs", [((state,), jobs.get(state, 0)) for state in _STATES])
    standings = ("running", "lost", *get_args(Outcome))
    yield _family("producer_jobs", [((one,), produced.get(one, 0)) for one in standings])
    with service.ledger.log() as log:
        newest = checkpoints.newest(log.cursor())
        lag = {
            "feed": max(0, log.last_position() - service.ledger.position),
            "checkpoint": log.leaf_count() - (newest.size if newest else 0),
        }
        parked = parked_streams(log)
        now = service.now()
        late = due_of(log, policy_of(log), parked, now).overdue(now)
    yield _family("reader_lag_events", [((reader,), events) for reader, events in lag.items()])
    yield _family("parked_streams", [((), sum(each.handling == "parked" for each in parked))])
    yield _family("retention_overdue_seconds", [((), late.total_seconds())])


def _family(name: str, samples: Samples) -> Metric:
    metric = _TABLE[name]
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(PREFIX + name, metric.means, labels=metric.labels)
    for labels, value in samples:
        family.add_metric(labels, value)
    return family
