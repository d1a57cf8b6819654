"""How often tokens and accounts may do what below `/api/v1`, and how many requests may wait."""

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from aiohttp import web

from api.accounts.grants import Grant
from api.http.permissions.scopes import rate_of
from api.http.requests import GRANT
from api.service.admission import Admission
from api.service.request_rates import CallRates, Kind

POLL_RETRY_S = 10

CALLS: web.AppKey["Calls"] = web.AppKey("calls")


class Calls:
    """Counts what requests do. Raises `TooMuch`."""

    def __init__(self, rates: CallRates, admission: Admission, polls_per_token: int) -> None:
        self._rates = rates
        self._admission = admission
        self._polls_most = polls_per_token
        self._polls: Counter[str] = Counter()

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

    @contextmanager
    def polling(self, grant: Grant) -> Iterator[None]:
        """Let a request wait for a change, if neither its token nor its account has too many.

        An account without a token counts as one.
        """
        name = grant.token or grant.account.uuid if grant.job is None else grant.job.job
        if 0 < self._polls_most <= self._polls[name]:
            message = f"the token has {self._polls_most:,} requests that wait for a change"
            raise self._admission.refuse("long-polls", self._polls_most, POLL_RETRY_S, message)
        with self._admission.take(grant.account.uuid, "long-polls"):
            self._polls[name] += 1
            try:
                yield
            finally:
                self._polls[name] -= 1
                if not self._polls[name]:
                    del self._polls[name]


def polling(request: web.Request) -> AbstractContextManager[None]:
    """Let a request wait for a change. Raise `TooMuch` if too many of its token or account do."""
    return request.app[CALLS].polling(request[GRANT])


def count_more(request: web.Request, kind: Kind, n: int) -> None:
    """Count what a request does besides the first, if it is about many. Raise `TooMuch`."""
    if n > 0:
        request.app[CALLS].count(request[GRANT], kind, n)
