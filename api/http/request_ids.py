"""Ids of requests, as they appear in answers, in the ledger and in the log."""

import re
from itertools import count

from aiohttp import web

REQUEST_ID = "X-Request-ID"

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RequestIds:
    """Gives requests their ids. Counting costs a tenth of a uuid for each."""

    def __init__(self, prefix: str) -> None:
        """`prefix` is unique to this object."""
        self._prefix = prefix
        self._numbers = count(1)

    def of(self, request: web.BaseRequest) -> str:
        """Return the client's own id of its request, if it is acceptable; otherwise a new one."""
        given = request.headers.get(REQUEST_ID)
        if given is not None and _REQUEST_ID.fullmatch(given):
            return given
        return f"{self._prefix}-{next(self._numbers)}"
