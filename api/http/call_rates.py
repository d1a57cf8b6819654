"""How often tokens and accounts may do what, below `/api/v1`."""

import math

from aiohttp import web

from api.accounts.grants import Grant
from api.http.requests import GRANT
from api.http.scopes import rate_of
from api.service.admission import Admission
from api.service.request_rates import CallRates, Kind

CALLS: web.AppKey["Calls"] = web.AppKey("calls")


class Calls:
    """Counts what requests do. Raises `TooMuch`."""

    def __init__(self, rates: CallRates, admission: Admission) -> None:
        self._rates = rates
        self._admission = admission

    def check(self, request: web.Request, grant: Grant) -> None:
        """Count a request, if it is of a kind that is counted."""
        resource = request.match_info.route.resource
        kind = None if resource is None else rate_of(request.method, resource.canonical)
        if kind is not None:
            self.count(grant, kind, 1)

    def count(self, grant: Grant, kind: Kind, n: int) -> None:
        wait_s = self._rates.admit(kind, grant.account.uuid, grant.token, n)
        if wait_s:
            limit = self._rates.limit(kind)
            message = f"the token, or all of the account, makes too many {kind}"
            raise self._admission.refuse(kind, limit, math.ceil(wait_s), message)


def count_more(request: web.Request, kind: Kind, n: int) -> None:
    """Count what a request does besides the first, if it is about many. Raise `TooMuch`."""
    if n > 0:
        request.app[CALLS].count(request[GRANT], kind, n)
