"""The one middleware: who asks, may they, and what a client sees of any error."""

import logging
import re
from collections.abc import Iterator
from itertools import count

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from api.accept import check_accept
from api.accounts import Account, LoginRefused, TooManyAttempts
from api.answers import LEDGER_POSITION, REQUEST_ID
from api.entity_tags import conditional
from api.errors import BodyTooSlow, Forbidden, RequestRefused, answer_to, unknown_error
from api.logins import account_of
from api.public import PublicUrls
from api.requests import ANONYMOUS, CALLER, POSITION
from api.service import Service
from ledger.errors import (
    ConcurrentChange,
    Invalid,
    NotFound,
    StoreFailed,
    StoreUnreachable,
    WrongState,
)
from ledger.images import PoolFull
from ledger.store.writer import Caller

METHODS = ("GET", "PUT", "DELETE", "POST")
"""In the order in which OPTIONS names them."""

_READING = frozenset({hdrs.METH_GET, hdrs.METH_HEAD})
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

log = logging.getLogger(__name__)


def guard(service: Service, public: PublicUrls) -> Middleware:
    """Every request passes here: it is named, its account found, and any error answered.

    At a public URL no account is looked for: the caller is `ANONYMOUS`. Every answer tells how new
    it is at the least: as the ledger's position before anything was read, or, after a command, as
    that command's own.
    """
    ledger = service.ledger
    draw = _request_ids(service.new_id()).__next__

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        request_id = _request_id(request) or draw()
        request[POSITION] = ledger.position
        answer: web.StreamResponse
        try:
            account = None
            if not await public.include(request):
                account = await account_of(request, service.accounts)
            request[CALLER] = Caller(account.uuid if account else ANONYMOUS, request_id)
            if request.method == hdrs.METH_OPTIONS:
                answer = _options(request)
            else:
                _check_allowed(request, account)
                answer = await handler(request)
                if request.method in _READING:
                    answer = conditional(request, answer)
        except (
            RequestRefused,
            LoginRefused,
            TooManyAttempts,
            NotFound,
            WrongState,
            Invalid,
            ConcurrentChange,
            PoolFull,
            StoreFailed,
            web.HTTPException,
        ) as error:
            if isinstance(error, StoreFailed) and not isinstance(error, StoreUnreachable):
                service.failed.set()
            answer = answer_to(error)
        except ConnectionError:
            raise  # the client has gone; there is nobody to answer
        except Exception:
            log.exception("request %s failed: %s %s", request_id, request.method, request.path)
            answer = unknown_error()
        if not answer.prepared:
            answer.headers[REQUEST_ID] = request_id
            answer.headers[LEDGER_POSITION] = str(request[POSITION])
        if answer.status == BodyTooSlow.status:
            await _send_and_close(request, answer)
        return answer

    return guarded


async def _send_and_close(request: web.Request, answer: web.StreamResponse) -> None:
    """Left to itself, aiohttp would first wait for the rest of the body once more."""
    answer.force_close()
    await answer.prepare(request)
    await answer.write_eof()
    request.protocol.force_close()


def _request_id(request: web.Request) -> str | None:
    """The client's own name for its request, if it is fit to be kept."""
    given = request.headers.get(REQUEST_ID)
    return given if given is not None and _REQUEST_ID.fullmatch(given) else None


def _request_ids(prefix: str) -> Iterator[str]:
    """Names without end; counting costs a tenth of what a uuid for each does."""
    return (f"{prefix}-{number}" for number in count(1))


def _check_allowed(request: web.Request, account: Account | None) -> None:
    """That there is something at the URL comes first, then what the account may do."""
    nothing = request.match_info.http_exception
    if nothing is not None:
        raise nothing
    if account and account.role == "auditor" and request.method not in _READING:
        raise Forbidden("an auditor changes nothing")
    check_accept(request)


def _options(request: web.Request) -> web.Response:
    """Which methods there are for the URL; the router has looked for one named OPTIONS."""
    nothing = request.match_info.http_exception
    if not isinstance(nothing, web.HTTPMethodNotAllowed):
        raise nothing or web.HTTPNotFound
    allowed = [method for method in METHODS if method in nothing.allowed_methods]
    return web.Response(text=",".join(allowed))
