"""What is looked at, as far as it is known before a check."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from api.data.location import Database
from api.doctor.findings import LedgerFound, PoolFound
from ledger.domain.clock_trust import Reading
from ledger.images import Pool
from projections.maintenance.retention.status import RetentionStatus


class Subject(NamedTuple):
    """A data directory, its ledger and its pools."""

    data: Path
    database: Database
    pools: Sequence[Pool]
    pools_found: Sequence[PoolFound]
    reading: Reading
    archiving: bool
    """Whether an archive may be being written."""
    runs: bool
    """Whether a service keeps up with it."""
    found: LedgerFound | None = None
    """The ledger, if it can be read."""
    standing: RetentionStatus | None = None
    """How retention stands, if that can be read."""

    @property
    def ledger(self) -> LedgerFound:
        """The ledger, for checks of what is in it."""
        assert self.found is not None, "nothing is looked for in a ledger that cannot be read"
        return self.found
