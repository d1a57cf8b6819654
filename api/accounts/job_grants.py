"""What the token of a job may do: it follows from the job, and from the token it came from."""

from datetime import datetime, timedelta
from itertools import starmap
from typing import Final, NamedTuple

from api.accounts.account import TokenOver, account_of
from api.accounts.grants import JOB_SCOPES, OVER_SCOPES, Grant, JobClaim, Restrictors
from api.data.private_tables import PrivateTables
from ledger.codec import decode
from ledger.domain.aggregates import fold
from ledger.domain.aggregates.job import Job
from ledger.domain.aggregates.produced import Produced
from ledger.domain.errors.jobs import JobDiscarded, JobNotFound
from ledger.domain.events.jobs import job_stream
from ledger.store.seam import Cursor
from ledger.store.tables import accounts, spent_ids, tokens
from ledger.store.tables.accounts import StoredAccount
from ledger.store.tables.streams import stored_of
from ledger.store.tables.tokens import GrantedToken

LASTS_FOR: Final = timedelta(days=30)
"""How long it outlives the job, or the token it came from if that merely expired."""


class _Found(NamedTuple):
    """The job of a token, its account, and the token it came from, as far as they are there."""

    job: Job | None
    spent: bool
    account: StoredAccount | None
    came_from: str | None
    token: GrantedToken | None


async def job_grant(tables: PrivateTables, claim: JobClaim, now: datetime) -> Grant:
    """Return what the token may do.

    Raise `TokenOver`, or `JobNotFound` or `JobDiscarded`: then the token is good, but for nothing.
    """
    found = await tables.read(lambda cursor: _find(cursor, claim))
    if found.spent:
        raise JobDiscarded(claim.job)
    if found.job is None:
        raise JobNotFound(claim.job)
    if found.account is None or (found.came_from is not None and found.token is None):
        raise TokenOver("removed")
    token, ended = found.token, found.job.ended
    if token is not None and token.expires is not None and token.expires <= now - LASTS_FOR:
        raise TokenOver("expired")
    if ended is not None and ended <= now - LASTS_FOR:
        raise TokenOver("ended")
    return Grant(
        account_of(found.account),
        found.came_from,
        JOB_SCOPES if ended is None else OVER_SCOPES,
        scoped=True,
        restrictors=Restrictors.parse(() if token is None else token.restrictors),
        source=None if token is None else token.source,
        job=claim,
    )


def _find(cursor: Cursor, claim: JobClaim) -> _Found:
    stream = job_stream(claim.job)
    job = fold(stream, starmap(decode, stored_of(cursor, stream)))
    assert job is None or isinstance(job, Job)
    produced = None if job is None else job.produced
    if job is None or produced is None:
        return _Found(None, spent_ids.is_spent(cursor, claim.job), None, None, None)
    spent = job.ended is not None and spent_ids.is_spent(cursor, claim.job)
    came_from = _came_from(produced, claim)
    return _Found(
        job,
        spent,
        accounts.find_by_uuid(cursor, job.owner),
        came_from,
        None if came_from is None else tokens.by_id(cursor, came_from),
    )


def _came_from(produced: Produced, claim: JobClaim) -> str | None:
    """Return the token with which this process took the job up, or else the job was registered."""
    holder = produced.holder
    if holder is not None and holder.instance == claim.instance:
        return holder.token
    return produced.registered.token
