"""Jobs of producers from which nothing is heard, by host: a laptop may sleep, so it is no fault."""

from itertools import groupby

from api.data.location import Database
from api.doctor.findings import LostJobs
from ledger.store.tables import leases

NAMED_MAX = 10


def lost_jobs(database: Database) -> list[LostJobs]:
    """Return the lost jobs of each host, first the one that was heard of last."""
    with database.log() as log:
        lost = leases.lost(log.cursor())
    hosts = [list(jobs) for _, jobs in groupby(lost, key=lambda lease: lease.host)]
    found = [
        LostJobs(
            jobs[0].host,
            len(jobs),
            max((lease.heard for lease in jobs if lease.heard is not None), default=None),
            [lease.job for lease in jobs[:NAMED_MAX]],
        )
        for jobs in hosts
    ]
    return sorted(found, key=lambda each: (each.heard is not None, each.heard), reverse=True)
