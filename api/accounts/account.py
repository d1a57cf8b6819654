"""An account, and its role."""

from dataclasses import dataclass
from typing import Literal, get_args

from api.accounts.credentials import InvalidAccount
from ledger.domain.errors import Expected
from ledger.store.tables.accounts import StoredAccount

Role = Literal["user", "auditor", "operator"]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True, slots=True)
class Account:
    uuid: str
    email: str
    role: Role


class LoginRefused(Expected):
    """The credentials are missing, malformed or wrong; clients do not learn which."""


class AccountNotFound(Expected):
    """No account has this email, or this uuid."""


def account_of(stored: StoredAccount) -> Account:
    return Account(stored.uuid, stored.email, checked_role(stored.role))


def checked_role(role: str) -> Role:
    """Raise `InvalidAccount` unless it is a role."""
    if role not in ROLES:
        raise InvalidAccount(f"a role is one of {', '.join(ROLES)}")
    return role
