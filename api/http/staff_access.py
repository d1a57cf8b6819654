"""What auditors and operators may see: what another account has, by `?owner=`, and the ledger."""

from typing import Protocol

from aiohttp import hdrs, web

from api.accounts.account import Account, AccountNotFound
from api.http.errors import BadRequest, Forbidden

VIEWABLE_URLS = web.AppKey("viewable-urls", set[web.AbstractResource])
"""Where a GET may name an owner. What holds secrets is none of them: servers have passwords."""

STAFF_URLS = web.AppKey("staff-urls", set[web.AbstractResource])
"""What only auditors and operators may ask for."""

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
    resource = request.match_info.route.resource
    if not given or request.method not in _READING or resource not in request.app[VIEWABLE_URLS]:
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
