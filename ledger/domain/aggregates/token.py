"""A bearer token: its state, and how events change it."""

from datetime import datetime
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from ledger.domain.events import Recorded
from ledger.domain.events.tokens import TokenEvent, TokenIssued, TokenRemoved


class Token(Struct, frozen=True, gc=False):
    """A token, folded from its stream; nothing is known of the issue of an early one."""

    id: str
    owner: str
    issued: TokenIssued | None = None
    removed: datetime | None = None


def evolve(token: Token | None, token_id: str, recorded: Recorded[TokenEvent]) -> Token:
    """Return the token after one more event of its stream."""
    match recorded.event:
        case TokenIssued(owner=owner) as event:
            assert token is None, f"token {token_id} issued twice"
            return Token(token_id, owner, event)
        case TokenRemoved(owner=owner):
            return replace(token or Token(token_id, owner), removed=recorded.recorded_at)
        case _:
            assert_never(recorded.event)
