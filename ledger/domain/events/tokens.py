"""What happens to a bearer token of an account. Neither it nor its hash is in an event."""

from datetime import datetime

from ledger.domain.events.values import Closed


class TokenIssued(Closed, frozen=True, omit_defaults=True):
    """A program may act for the account, within these bounds.

    Without `scopes` it may do whatever the account may. It registers jobs whose source is `source`
    or lies below it. `issuer` is the token by which this one was issued.
    """

    owner: str
    name: str
    scopes: tuple[str, ...] | None = None
    restrictors: tuple[str, ...] = ()
    source: str | None = None
    expires: datetime | None = None
    issuer: str | None = None


class TokenRemoved(Closed, frozen=True):
    """The token is refused from now on. It is the only event of a token of an earlier version."""

    owner: str


TokenEvent = TokenIssued | TokenRemoved


def token_stream(token: str) -> str:
    return f"token-{token}"
