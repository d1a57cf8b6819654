"""Idempotency keys: a request with a key is recorded once, however often it is sent.

The claim of a key is recorded with its command, in one transaction; the answer follows once it is
known. Until the claim expires, nothing else is recorded for the account under its key.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

KEPT = timedelta(hours=24)
"""How long a claim holds."""


class Claim(NamedTuple):
    """`key` is the client's name for its request, `fingerprint` the SHA-256 of the request.

    The uuids of what the request creates are derived from `seed`: a repeat gets the same ones.
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
    """The answer to the request; `location` is a header that not every answer has."""

    status: int
    content_type: str
    location: str | None
    body: bytes
