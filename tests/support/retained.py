"""A ledger with retention and archives, on a clock of the test."""

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path

from ledger.archives import Shelf
from ledger.domain.clock_trust import Reading
from ledger.images.surveys import Surveyor
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
        environment: Surveyor | None = None,
        acts: str = "act",
    ) -> None:
        """`acts` is the prefix of the uuids of sweeps and compactions."""
        super().__init__(file, environment=environment, now=now)
        self.archives = file.parent / "archive"
        self.clock_error = timedelta(0)
        self.boot = "boot-1"
        self._now = now
        numbers = count(1)
        self.retention = Retention(
            self.ledger,
            self.archives,
            now=self.ledger.clock.now,
            new_id=lambda: f"{acts}-{next(numbers):06}",
            clocks=self._clocks,
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
        newest = self.ledger.clock.newest
        return Reading(self.boot, now + self.clock_error, now - START, newest)
