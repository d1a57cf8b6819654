"""Discards everything that has ended, and leaves a compaction half way."""

import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

from ledger.application import Ledger
from ledger.domain.aggregates.housekeeping import DEFAULT_TERMS, Terms
from projections.maintenance.retention.plan import plan_of
from projections.maintenance.retention.sweep import sweep
from projections.streams import discarded_streams, sweeps
from tests.support.opened import behind_its_back

AT_ONCE = timedelta(0)
"""The policy by which everything that has ended is due."""


def discard(ledger: Ledger, uuid: str, cutoff: datetime) -> None:
    """Discard what ended before the cutoff, by the policy `AT_ONCE`."""
    plan = plan_of(ledger.log, Terms(AT_ONCE, DEFAULT_TERMS.keep_last), cutoff)
    assert ledger.maintenance.acquire()
    try:
        sweep(ledger, plan, lambda: uuid)
    finally:
        ledger.maintenance.release()


def half_gone(ledger: Ledger, file: Path, copy: Path) -> None:
    """Copy the ledger's file without every other event of the discarded streams."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))
    with ledger.log() as log:
        discarded = sorted(discarded_streams(sweeps(log)))
    with behind_its_back(copy) as connection:
        connection.executemany(
            "DELETE FROM stored_events WHERE originator_id = ? AND position % 2 = 0",
            [(stream,) for stream in discarded],
        )
