"""Spends the ids of jobs that only archives know of.

A sweep spends ids itself. But the archives may be older than the table of spent ids: after an
upgrade, or beside a ledger that was restored from an older backup.
"""

import logging
from functools import partial

from ledger.application import Ledger
from ledger.archives import BadArchive, Shelf
from ledger.store.parameters import sliced
from ledger.store.tables import spent_ids

JOBS_AT_ONCE = 1_000

log = logging.getLogger(__name__)


def spend_archived(ledger: Ledger, shelf: Shelf) -> None:
    """Spend the ids of all jobs in archives, before clients may choose any; block.

    The index of an archive is read once. One that cannot be read is left to the next start.
    """
    known = ledger.read(spent_ids.archives)
    for name in shelf.names():
        if name in known:
            continue
        try:
            trees = shelf.get(name).trees
        except BadArchive as error:
            log.warning("the ids of its jobs are not known to be spent: %s", error)
            continue
        jobs = [(job.uuid, tree.owner) for tree in trees for job in tree.jobs]
        for some in sliced(jobs, JOBS_AT_ONCE):
            ledger.exclusive(partial(spent_ids.add, jobs=dict(some))).result()
        ledger.exclusive(partial(spent_ids.add_archive, archive=name)).result()
