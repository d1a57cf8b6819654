"""The parts of a running service, as the HTTP layer and the command line use them."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from api.accounts.service import Accounts
from api.data.idempotency_keys import IdempotencyKeys
from api.data.location import Database
from ledger.application import Ledger
from ledger.archives import Shelf
from ledger.domain.clock_trust import Reading
from ledger.domain.context import PoolSpace
from ledger.images import Figures, Pool
from ledger.proofs.checkpoints import Checkpoints
from ledger.workers.image_keeper import ImageKeeper
from projections.feed.feed import Feed
from projections.maintenance.retention.service import Retention
from projections.views.views import Views


@dataclass(frozen=True)
class Service:
    """Built by `api.composition.open_service` and nowhere else."""

    ledger: Ledger
    views: Views
    archives: Shelf
    accounts: Accounts
    claims: IdempotencyKeys
    checkpoints: Checkpoints
    retention: Retention
    clocks: Callable[[], Reading]
    pools: Mapping[str, Pool]
    spaces: Callable[[], tuple[PoolSpace, ...]]
    """The pools that there are, also those of workers elsewhere, with the room they have."""
    intake: ImageKeeper
    feed: Feed
    figures: Callable[[str], Figures | None]
    copied_bytes: Callable[[], int]
    now: Callable[[], datetime]
    new_id: Callable[[], str]
    new_mac: Callable[[], str]
    new_password: Callable[[], str]
    data: Path
    database: Database
    """Where the ledger is, for readers with a connection of their own."""
    failed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the store has failed: the process must stop."""


class Worker(NamedTuple):
    """A worker on pools, as what watches it sees it; `failed` is set if the store fails."""

    ledger: Ledger
    copied_bytes: Callable[[], int]
    spaces: Callable[[], tuple[PoolSpace, ...]]
    failed: asyncio.Event
