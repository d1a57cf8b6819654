"""Commands about tokens."""

from datetime import datetime

from msgspec import Struct

from ledger.domain.events.tokens import TokenIssued


class IssueToken(Struct, frozen=True, gc=False):
    """Let a program act for an account. The hash is kept in a plain table, never in the ledger.

    With `password_version`, the account's password must still have that version, or the token is
    never valid.
    """

    token: str
    token_hash: bytes
    issued: TokenIssued
    created: datetime
    password_version: int | None = None


class RemoveTokens(Struct, frozen=True, gc=False):
    """Refuse these tokens of an account from now on."""

    owner: str
    tokens: tuple[str, ...]
    removed: datetime


TokenCommand = IssueToken | RemoveTokens
