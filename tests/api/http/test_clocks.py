"""Reading the machine's clocks, with and without a boot id."""

import itertools
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from api.service.clocks import BOOT_ID, Clocks
from ledger.domain.clock_trust import moved, watch
from ledger.store.clock import SeenClock

ids = itertools.count()
STORE = SeenClock(datetime.now(UTC), datetime.min.replace(tzinfo=UTC), timedelta(0))


def new_id() -> str:
    return f"id-{next(ids)}"


def test_a_boot_is_the_same_for_all_processes() -> None:
    """It is the kernel's, and so is the time since."""
    one, other = Clocks(STORE, new_id)(), Clocks(STORE, new_id)()
    assert one.boot == other.boot == BOOT_ID.read_text().strip()
    assert timedelta(0) <= other.since_boot - one.since_boot < timedelta(minutes=1)
    uptime = timedelta(seconds=time.clock_gettime(time.CLOCK_BOOTTIME))
    assert abs(uptime - one.since_boot) < timedelta(minutes=1)


def test_without_a_boot_id_each_process_counts_as_a_boot(tmp_path: Path) -> None:
    """Within it a clock that is set is noticed; between two, one that went back."""
    clocks, other = (Clocks(STORE, new_id, tmp_path / "nothing") for _ in range(2))
    reading = clocks()
    assert reading.boot != other().boot
    hours = timedelta(hours=2)
    later = clocks()
    assert moved(watch(reading), later) is None
    assert moved(watch(reading), later._replace(wall=later.wall + hours)) is not None
    assert moved(watch(reading), other()) is None
    assert moved(watch(reading), other()._replace(wall=later.wall - hours)) is not None
