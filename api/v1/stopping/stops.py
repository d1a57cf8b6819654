"""What a process, or a person, is told of a request to stop: the shape that all answers share."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated

from aiohttp import web
from msgspec import Meta

from api.http.fields import Representation, Time, about
from api.http.requests import ASKING, owner_of
from ledger.domain.producers.stops import Stop
from ledger.domain.producers.texts import NOTE
from ledger.store.parameters import timestamp
from ledger.store.seam import Cursor
from ledger.store.tables import accounts, texts
from projections.views.stops import stops_of


class Cancel(Representation, frozen=True):
    """A job is asked to stop, by a request to it or because of a job above it."""

    requested_at: Time
    by: Annotated[
        str | None,
        about("Who asked; null if nobody did, as below a job that failed, or if you may not know."),
    ]
    note: Annotated[str | None, about("What was said about it.")]
    stop_within_s: Annotated[
        int, Meta(ge=0), about("How long the process has from now on; it may be stopped after it.")
    ]


def may_know(request: web.Request) -> Callable[[str], bool]:
    """Return a function that says whether the caller may see the email of an account."""
    viewer, owner = request[ASKING], owner_of(request)
    return lambda account: account == viewer or viewer != owner


def cancels_of(
    cursor: Cursor, jobs: Sequence[str], now: datetime, known: Callable[[str], bool]
) -> dict[str, Cancel]:
    """Return what is told of requests to these jobs; the others are not asked to stop.

    `known` says of an account whether whoever reads this may see its email.
    """
    return shown(cursor, stops_of(cursor, jobs), now, known)


def shown(
    cursor: Cursor, stops: Mapping[str, Stop], now: datetime, known: Callable[[str], bool]
) -> dict[str, Cancel]:
    """Do the same for jobs of which it is known already whether they are asked to stop."""
    notes = texts.read(cursor, sorted({stop.job for stop in stops.values()})) if stops else {}
    return {
        job: Cancel(
            requested_at=timestamp(stop.at),
            by=_email_of(cursor, stop, known),
            note=notes.get(stop.job, {}).get(NOTE),
            stop_within_s=stop.left_s(now),
        )
        for job, stop in stops.items()
    }


def _email_of(cursor: Cursor, stop: Stop, known: Callable[[str], bool]) -> str | None:
    if stop.by is None or not known(stop.by):
        return None
    account = accounts.find_by_uuid(cursor, stop.by)
    return None if account is None else account.email
