"""The cookies of one ledger.

Browsers send a host's cookies to all services there, whatever their ports. So that services do not
overwrite each other's, the names have the ledger's id. Clients of the public API know other names,
without it; what they need is set under both, and read under the first if that is there.
"""

from datetime import timedelta
from typing import Literal, NamedTuple

from aiohttp import hdrs, web

Name = Literal["sessionid", "csrftoken", "async_auth", "device"]


class _Kind(NamedTuple):
    """What is set with a cookie; `is_public` says that the public API has it, too."""

    http_only: bool
    same_site: Literal["Lax", "Strict"]
    is_public: bool = True


_KINDS: dict[Name, _Kind] = {
    "sessionid": _Kind(http_only=True, same_site="Lax"),
    "csrftoken": _Kind(http_only=False, same_site="Lax"),  # scripts must read it
    "async_auth": _Kind(http_only=True, same_site="Strict"),
    "device": _Kind(http_only=True, same_site="Strict", is_public=False),
}
_OF_LOGIN: tuple[Name, ...] = ("sessionid", "csrftoken", "async_auth")


class Cookies:
    """Sets, reads and clears cookies."""

    def __init__(self, ledger_id: str) -> None:
        self._ledger_id = ledger_id

    def name(self, name: Name) -> str:
        """Return the name that has the ledger's id."""
        return f"{name}-{self._ledger_id}"

    def read(self, request: web.Request, name: Name) -> str | None:
        """Return the value of a cookie, if it was sent and is not empty."""
        if hdrs.COOKIE not in request.headers:
            return None
        values = (request.cookies.get(each) for each in self._names(name))
        return next(filter(None, values), None)

    def put(
        self,
        request: web.Request,
        answer: web.Response,
        name: Name,
        value: str,
        *,
        valid_for: timedelta,
    ) -> None:
        kind = _KINDS[name]
        for each in self._names(name):
            answer.set_cookie(
                each,
                value,
                max_age=int(valid_for.total_seconds()),
                httponly=kind.http_only or None,
                samesite=kind.same_site,
                secure=request.secure or None,
            )

    def clear_login(self, request: web.Request, answer: web.Response) -> None:
        """Clear what logs in. The device stays known: its cookie is no login."""
        for name in _OF_LOGIN:
            for each in self._names(name):
                answer.del_cookie(
                    each, samesite=_KINDS[name].same_site, secure=request.secure or None
                )

    def _names(self, name: Name) -> tuple[str, ...]:
        return (self.name(name), name) if _KINDS[name].is_public else (self.name(name),)


COOKIES = web.AppKey("cookies", Cookies)
