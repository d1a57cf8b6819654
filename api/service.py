"""The parts of a running service, as the HTTP layer and the command line use them."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from api.accounts import Accounts
from api.claims import Claims
from api.databases import Database
from ledger.application import Ledger
from ledger.archives import Shelf
from ledger.clock_watch import Reading
from ledger.images import Figures, Pool
from ledger.proofs.checkpoints import Checkpoints
from ledger.workers.provisioning import Provisioning
from ledger.world import PoolSpace
from projections.feed import Feed
from projections.retention.keeping import Retention
from projections.views.reading import Views


@dataclass(frozen=True)
class Service:
    """Built by `api.composition.open_service` and nowhere else."""

    ledger: Ledger
    views: Views
    archives: Shelf
    accounts: Accounts
    claims: Claims
    checkpoints: Checkpoints
    retention: Retention
    clocks: Callable[[], Reading]
    pools: Mapping[str, Pool]
    spaces: Callable[[], tuple[PoolSpace, ...]]
    """The pools that there are, also those of workers elsewhere, with the room they have."""
    intake: Provisioning
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
