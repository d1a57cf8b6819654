"""Leases for attempts that have none, as a restored ledger may have them."""

from collections.abc import Sequence

from ledger.application import Ledger
from ledger.domain.producers.leases import Expect, expected
from ledger.store.parameters import VALUES_MAX, sliced
from ledger.store.seam import Cursor
from ledger.store.tables import leases


def make_missing(ledger: Ledger, jobs: Sequence[str]) -> int:
    """Make fresh rows for those of these jobs that go on and have none; return how many."""
    return sum(_make(ledger, some) for some in sliced(jobs, VALUES_MAX))


def _make(ledger: Ledger, jobs: Sequence[str]) -> int:
    there = ledger.read(lambda cursor: leases.find_many(cursor, jobs))
    missing = [change for job in jobs if job not in there and (change := _fresh(ledger, job))]

    def write(cursor: Cursor) -> int:
        leases.be_there(cursor, ledger.clock_parameter())
        by_now = leases.find_many(cursor, jobs)
        made = [change for change in missing if change.job not in by_now]
        leases.apply(cursor, made)
        return len(made)

    return ledger.exclusive(write).result() if missing else 0


def _fresh(ledger: Ledger, uuid: str) -> Expect | None:
    job = ledger.job(uuid)
    if job is None or job.produced is None:
        return None
    change = expected(job, job.produced, ledger.clock.now())
    return change if isinstance(change, Expect) else None
