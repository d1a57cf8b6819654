"""Who somebody is, once they have shown it."""

from dataclasses import dataclass
from typing import Literal, get_args

from api.accounts.credentials import InvalidAccount
from ledger.domain.errors import Expected
from ledger.store.tables.accounts import StoredAccount

Role = Literal["user", "auditor", "operator"]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who may log in."""

    uuid: str
    email: str
    role: Role


class LoginRefused(Expected):
    """No, malformed or wrong credentials; which of these is not told."""


class AccountNotFound(Expected):
    """There is no account with this email."""


def account_of(stored: StoredAccount) -> Account:
    return Account(stored.uuid, stored.email, checked_role(stored.role))


def checked_role(role: str) -> Role:
    """Raises `InvalidAccount` for what is no role."""
    if role not in ROLES:
        raise InvalidAccount(f"a role is one of {', '.join(ROLES)}")
    return role
