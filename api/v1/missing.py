"""Why an account has no job with a uuid: it never had one, or it was discarded."""

from functools import partial

from ledger.application import Ledger
from ledger.domain.errors.jobs import JobDiscarded, JobNotFound
from ledger.store.tables import spent_ids


def missing_job(ledger: Ledger, uuid: str, owner: str) -> JobNotFound | JobDiscarded:
    """Return what an account is told that asks for a job which is not there.

    Nobody but its owner learns that it once was.
    """
    was_of = ledger.read(partial(spent_ids.owner_of, job=uuid))
    return JobDiscarded(uuid) if was_of == owner else JobNotFound(uuid)
