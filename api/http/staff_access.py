"""What auditors and operators may see: what another account has, by `?owner=`, and the ledger."""

from typing import Protocol

from aiohttp import hdrs, web

from api.accounts.account import Account, AccountNotFound
from api.http.access import access_of
from api.http.errors import BadRequest, Forbidden

_READING = frozenset({hdrs.METH_GET, hdrs.METH_HEAD})


class KnownAccounts(Protocol):
    """Where accounts are found."""

    async def find(self, uuid: str) -> Account:
        """The account with this uuid. Raises `AccountNotFound`."""


async def owner_asked_for(request: web.Request, account: Account, accounts: KnownAccounts) -> str:
    """Whose things a request is about: the account's own, if it names nobody else.

    Anywhere but at a viewable URL `owner` is a parameter like others that are not known. Raises
    `Forbidden` for whoever may not look, and `BadRequest` if there is no such account.
    """
    given = request.query.getall("owner", ()) if request.query_string else ()
    if not given or request.method not in _READING or access_of(request) != "viewable":
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
    """Raises `Forbidden` unless it is an auditor or an operator."""
    if account.role == "user":
        raise Forbidden(f"only an auditor or an operator {does}", point=point)
