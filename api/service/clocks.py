"""The clocks of the machine and of the store, as `ledger.domain.clock_trust` compares them."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ledger.domain.clock_trust import Reading
from ledger.store.clock import TimeSource

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def now() -> datetime:
    return datetime.now(UTC)


class Clocks:
    """Reads the store's clock, and the time since the machine was booted.

    Where the machine has no boot id, each process counts as a boot of its own, timed by the
    monotonic clock: a wall clock that is set forward while no process runs is then not noticed.
    """

    def __init__(
        self, store: TimeSource, new_id: Callable[[], str], boot_id: Path = BOOT_ID
    ) -> None:
        self._store = store
        try:
            self._boot = boot_id.read_text(encoding="ascii").strip()
            self._clock = time.CLOCK_BOOTTIME
            time.clock_gettime(self._clock)
        except (OSError, ValueError, AttributeError):
            self._boot = f"process {new_id()}"
            self._clock = time.CLOCK_MONOTONIC

    def __call__(self) -> Reading:
        since_boot = timedelta(seconds=time.clock_gettime(self._clock))
        store = self._store
        return Reading(self._boot, store.read(), since_boot, store.newest, store.offset())
