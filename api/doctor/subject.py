"""The subject of the checks."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from api.data.location import Database
from api.doctor.findings import LedgerFound, PoolFound
from ledger.domain.clock_trust import Reading
from ledger.images.pools import Pool
from projections.maintenance.retention.status import RetentionStatus


class Subject(NamedTuple):
    """A data directory, its ledger and its pools, as far as earlier checks could read them."""

    data: Path
    database: Database
    pools: Sequence[Pool]
    pools_found: Sequence[PoolFound]
    reading: Reading
    archiving: bool
    """Whether an archive may be under way."""
    runs: bool
    """Whether a service runs and keeps up with the work."""
    found: LedgerFound | None = None
    """The ledger, if it can be read."""
    retention: RetentionStatus | None = None
    """The status of retention, if it can be read."""

    @property
    def ledger(self) -> LedgerFound:
        """Return the ledger, for checks of its contents."""
        assert self.found is not None, "a ledger that cannot be read is not checked"
        return self.found
