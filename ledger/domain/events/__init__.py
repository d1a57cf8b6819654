"""The vocabulary: every event the ledger may hold, and the envelope each one carries.

An event says what happened to one stream (a job, a drive, a server, a tag, a keypair, a token, an
account's profile, or one of the ledger's own acts); `Recorded` adds when, by whom and in which
request. Events are immutable and the unions are closed: a `match` over one ends in `assert_never`.
An event may contain nothing secret: passwords, tokens and personal data live in plain tables,
because what is in the ledger stays there.
"""

from datetime import datetime
from typing import Generic, TypeVar

from ledger.domain.events.drives import DriveEvent
from ledger.domain.events.housekeeping import (
    CompactionEvent,
    ParkingEvent,
    PolicyEvent,
    RestorationEvent,
    SweepEvent,
)
from ledger.domain.events.jobs import JobEvent
from ledger.domain.events.keypairs import KeypairEvent
from ledger.domain.events.profiles import ProfileEvent
from ledger.domain.events.servers import ServerEvent
from ledger.domain.events.tags import TagEvent
from ledger.domain.events.tokens import TokenEvent
from ledger.domain.events.values import Closed

Event = (
    JobEvent
    | DriveEvent
    | ServerEvent
    | TagEvent
    | KeypairEvent
    | ProfileEvent
    | TokenEvent
    | PolicyEvent
    | SweepEvent
    | CompactionEvent
    | RestorationEvent
    | ParkingEvent
)

E_co = TypeVar("E_co", covariant=True)


class Recorded(Closed, Generic[E_co], frozen=True):
    """An event with its envelope: streams, and the whole ledger, consist of these.

    `actor` is an account's uuid, or `worker:<name>` or `system` for our own acts.
    """

    recorded_at: datetime
    actor: str
    request_id: str
    event: E_co
