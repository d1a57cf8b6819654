"""An account, and its role."""

from dataclasses import dataclass
from typing import Literal

from api.accounts.credentials import InvalidAccount
from api.accounts.roles import ROLES, Role
from ledger.domain.errors import Expected
from ledger.store.tables.accounts import StoredAccount


@dataclass(frozen=True, slots=True)
class Account:
    uuid: str
    email: str
    role: Role


class LoginRefused(Expected):
    """The credentials are missing, malformed or wrong; clients do not learn which."""


class TokenOver(LoginRefused):
    """The token was valid once, so whoever has it does not guess, and may be told why it ended."""

    def __init__(self, why: Literal["removed", "expired", "ended"]) -> None:
        super().__init__(f"the token has {why}" if why != "removed" else "the token was removed")
        self.why = why


class AccountNotFound(Expected):
    """No account has this email, or this uuid."""


def account_of(stored: StoredAccount) -> Account:
    return Account(stored.uuid, stored.email, checked_role(stored.role))


def checked_role(role: str) -> Role:
    """Raise `InvalidAccount` unless it is a role."""
    if role not in ROLES:
        raise InvalidAccount(f"a role is one of {', '.join(ROLES)}")
    return role
