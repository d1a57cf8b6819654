"""Access of auditors and operators: to another account by `?owner=`, and to the whole ledger."""

from typing import Protocol

from aiohttp import web

from api.accounts.account import Account, AccountNotFound
from api.http.access import READING, access_of
from api.http.errors import BadRequest, Forbidden


class KnownAccounts(Protocol):
    """Finds accounts."""

    async def find(self, uuid: str) -> Account:
        """Raise `AccountNotFound` if no account has this uuid."""


async def owner_asked_for(request: web.Request, account: Account, accounts: KnownAccounts) -> str:
    """Return the owner of what a request is about: the account itself, or the one it names.

    At other than viewable URLs `owner` is ignored, like any unknown parameter. Raise `Forbidden` if
    the account is not staff, and `BadRequest` if there is no such owner.
    """
    given = request.query.getall("owner", ()) if request.query_string else ()
    if not given or request.method not in READING or access_of(request) != "viewable":
        return account.uuid
    wanted = given[-1].lower()
    if wanted == account.uuid:
        return wanted
    require_staff(account, "sees what another account has", point="owner")
    try:
        return (await accounts.find(wanted)).uuid
    except AccountNotFound:
        raise BadRequest("there is no account with this uuid", point="owner") from None


def require_staff(account: Account, does: str, *, point: str | None = None) -> None:
    """Raise `Forbidden` unless the account is an auditor's or an operator's."""
    if account.role == "user":
        raise Forbidden(f"only an auditor or an operator {does}", point=point)
