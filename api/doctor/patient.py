"""What is looked at, as far as it is known before the checks begin."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from api.databases import Database
from api.doctor.findings import LedgerFound, PoolFound
from ledger.clock_watch import Reading
from ledger.images import Pool
from projections.retention.standing import Standing


class Whole(NamedTuple):
    """A data directory, whatever its ledger is like."""

    data: Path
    database: Database
    pools: Sequence[Pool]
    pools_found: Sequence[PoolFound]
    archiving: bool
    """Whether an archive may be being written."""
    runs: bool
    """Whether a service keeps up with it."""


class Patient(NamedTuple):
    """The same, with a ledger that can be read."""

    data: Path
    database: Database
    pools: Sequence[Pool]
    pools_found: Sequence[PoolFound]
    runs: bool
    ledger: LedgerFound
    reading: Reading
    standing: Standing | None
    """How retention stands, if that can be read."""
