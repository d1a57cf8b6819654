"""IdempotencyKeys: what a client has named is recorded once, however often it is sent.

A claim is recorded with its command, in one transaction, and the answer beside it once it is known.
Until it is over, nothing else is recorded for the account under its key.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

KEPT = timedelta(hours=24)
"""How long a claim holds."""


class Claim(NamedTuple):
    """`key` is the client's name for its request, `fingerprint` the SHA-256 of that.

    The uuids of what the request makes are derived from `seed`: a repeat makes the same ones.
    """

    key: str
    fingerprint: bytes
    seed: str


class RecordedClaim(NamedTuple):
    """A claim of an account, and when it was recorded."""

    account: str
    claim: Claim
    at: datetime

    def is_over(self, now: datetime) -> bool:
        return self.at <= now - KEPT


class KeptAnswer(NamedTuple):
    """What the request was answered with; `location` is a header that not every answer has."""

    status: int
    content_type: str
    location: str | None
    body: bytes
