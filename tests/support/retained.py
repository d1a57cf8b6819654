"""A ledger with retention and archives, on a clock of the test."""

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path

from ledger.archives import Shelf
from ledger.domain.clock_trust import Reading
from ledger.domain.context import Environment
from projections.maintenance.retention.service import Ran, Retention
from tests.support.opened import Opened
from tests.support.world import START


class Retained(Opened):
    """An opened ledger and its retention."""

    def __init__(
        self,
        file: Path,
        now: Callable[[], datetime],
        *,
        environment: Environment | None = None,
        acts: str = "act",
    ) -> None:
        """`acts` is the prefix of the uuids of sweeps and compactions."""
        super().__init__(file, environment=environment, now=now)
        self.archives = file.parent / "archive"
        self.clock_error = timedelta(0)
        self.boot = "boot-1"
        self._now = now
        self._acts, self._numbers = acts, count(1)
        self.retention = self.retention_of()

    def retention_of(self, patience_s: float = 0.0) -> Retention:
        """Return a retention that waits so long for other maintenance."""
        return Retention(
            self.ledger,
            self.archives,
            now=self._now,
            new_id=lambda: f"{self._acts}-{next(self._numbers):06}",
            clocks=self._clocks,
            patience_s=patience_s,
        )

    @property
    def shelf(self) -> Shelf:
        return Shelf(self.archives)

    def keep(self, **time: float) -> None:
        """Set the policy."""
        self.retention.set(timedelta(**time))

    def run(self) -> Ran:
        return self.retention.run()

    def _clocks(self) -> Reading:
        """Return the clocks of a machine that booted when the test began."""
        now = self._now()
        return Reading(self.boot, now + self.clock_error, now - START)
