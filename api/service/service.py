"""The parts of a running service, as the HTTP layer and the command line use them."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from api.accounts.service import Accounts
from api.data.idempotency_keys import IdempotencyKeys
from api.data.location import Database
from api.service.admission import Admission
from api.service.environment import ServiceEnvironment
from api.service.heavy_reads import HeavyReads
from api.service.limits import Limits
from api.service.request_rates import CallRates, RequestRates
from ledger.application import Ledger
from ledger.archives import Shelf
from ledger.domain.clock_trust import Reading
from ledger.images.pools import Pool
from ledger.leases.held_beats import HeldBeats
from ledger.leases.reports import Reporting
from ledger.proofs.checkpoints import Checkpoints
from ledger.workers.image_keeper import ImageKeeper
from ledger.workers.worker_registry import WorkerRegistry
from projections.feed.feed import Feed
from projections.maintenance.retention.service import Retention
from projections.views.views import Views


@dataclass(frozen=True)
class RunningLedger:
    """A ledger that is open and up to date, and what it runs with."""

    ledger: Ledger
    pools: Mapping[str, Pool]
    """The pools of this process."""
    environment: ServiceEnvironment
    database: Database
    """Where the ledger is, for readers with a connection of their own."""
    worker_registry: WorkerRegistry | None
    """For a ledger in PostgreSQL: the pools of other processes."""
    failed: asyncio.Event
    """Set once the store has failed: the process must stop."""


@dataclass(frozen=True)
class DirectoryParts:
    """What the data directory of a ledger adds to it."""

    accounts: Accounts
    retention: Retention
    clocks: Callable[[], Reading]


@dataclass(frozen=True)
class OpenLedger(RunningLedger, DirectoryParts):
    """The ledger of a data directory with its accounts, without anything that touches images."""


@dataclass(frozen=True)
class ServiceParts:
    """What a service adds to an open ledger."""

    views: Views
    archives: Shelf
    idempotency_keys: IdempotencyKeys
    checkpoints: Checkpoints
    intake: ImageKeeper
    feed: Feed
    copied_bytes: Callable[[], int]
    now: Callable[[], datetime]
    new_id: Callable[[], str]
    new_mac: Callable[[], str]
    new_password: Callable[[], str]
    data: Path
    limits: Limits
    admission: Admission
    reads: HeavyReads
    rates: RequestRates
    call_rates: CallRates
    settling: asyncio.Event
    """Set once there may be jobs to stop on which nobody works."""
    beats: HeldBeats
    reporting: Reporting
    trusted_proxies: tuple[str, ...]
    """Peers that say for whom they forward requests."""


@dataclass(frozen=True)
class Service(OpenLedger, ServiceParts):
    """Built by `api.composition.open_service` and nowhere else."""

    @property
    def ledger_id(self) -> str:
        """The id of the ledger's key, which all its processes have."""
        return self.checkpoints.verifier.id.hex()


# Joined from parts. mypy checks that each part is complete but cannot look into `vars`; what is
# joined declares no fields besides theirs, so it is complete too.


def join_ledger(running: RunningLedger, parts: DirectoryParts) -> OpenLedger:
    return OpenLedger(**vars(running), **vars(parts))


def join_service(opened: OpenLedger, parts: ServiceParts) -> Service:
    return Service(**vars(opened), **vars(parts))


@dataclass(frozen=True)
class Worker:
    """A worker on pools, as its metrics show it."""

    ledger: Ledger
    environment: ServiceEnvironment
    failed: asyncio.Event
    copied_bytes: Callable[[], int]
