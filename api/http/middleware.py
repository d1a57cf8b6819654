"""The one middleware: it authenticates and authorises requests, and answers errors."""

import logging
import math

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from api.accounts.grants import Grant
from api.accounts.service import Account, LoginRefused
from api.http.accept import check_accept
from api.http.access import READING, access_of, is_public
from api.http.edge.proxies import TRUSTED_PROXIES
from api.http.errors import Forbidden, error_answer_for
from api.http.etags import make_conditional
from api.http.idempotency import Once, has_key
from api.http.not_applied import tell_not_applied
from api.http.outcome import OUTCOME, advice, note_outcome, outcome_after, recorded_by
from api.http.permissions.call_rates import CALLS
from api.http.permissions.scopes import JOB_SCOPES
from api.http.permissions.staff_access import owner_asked_for, require_staff
from api.http.request_auth import grant_of
from api.http.request_ids import REQUEST_ID, RequestIds
from api.http.requests import ANONYMOUS, ASKING, CALLER, GRANT, NEW_ID, POSITION
from api.http.responses import LEDGER_POSITION
from api.http.url_template import url_template_of
from api.http.wire.bodies import check_expectation, is_awaited
from api.http.wire.connection import hold_until_taken, occupy_connection
from api.service.admission import TooMuch
from api.service.answer_bytes import AnswerBytes
from api.service.logging import CURRENT_REQUEST_ID
from api.service.service import Service
from api.text.addresses import network_of
from ledger.domain.errors import Expected
from ledger.domain.errors.quotas import OverQuota
from ledger.domain.errors.store import StoreFailed, StoreUnreachable
from ledger.store.writer import Caller

METHODS = ("GET", "PUT", "DELETE", "POST")
"""In the order in which OPTIONS names them."""

SCRIPT_CHALLENGE = 'Bearer realm="users"'
"""For scripts of pages: a Basic challenge would make the browser open its login dialog."""

BODY_TOO_SLOW = 408
SHORT_BYTES = 4 * 1024
"""An answer without a login that is not longer never waits for room, such as one about health or an
error: a connection has one at a time, so the number of connections bounds them."""
_UNREAD = ("answer-bytes", "answer-bytes-without-login")

log = logging.getLogger(__name__)


def make_middleware(service: Service) -> Middleware:
    """Make the middleware: it names each request, finds its account and answers any error.

    At a public URL it looks for no account: the caller is `ANONYMOUS`. Every answer carries a
    position that it is at least as new as: the ledger's before anything was read or, after a
    command, the command's own.
    """
    ledger = service.ledger
    ids = RequestIds(service.new_id())
    once = Once(service)
    to_accounts = service.reads.answers
    to_others = AnswerBytes(service.admission, service.limits, "answer-bytes-without-login")

    @web.middleware
    async def handle(request: web.Request, handler: Handler) -> web.StreamResponse:
        request = request.app[TRUSTED_PROXIES].seen_by_client(request)
        request_id = ids.of(request)
        CURRENT_REQUEST_ID.set(request_id)
        request[POSITION] = ledger.position
        request[NEW_ID] = service.new_id
        answer: web.StreamResponse
        try:
            grant, owner = None, ANONYMOUS
            if not await is_public(request):
                grant, owner = await _log_in(request, service)
            request[ASKING] = ANONYMOUS if grant is None else grant.account.uuid
            request[CALLER] = Caller(owner, request_id)
            if grant is not None and request.method in READING:
                await to_accounts.room(grant.account.uuid)
            answer = await _authorise_and_handle(request, grant, handler, once)
            tell_not_applied(request, answer)
            if grant is None and _length(answer) > SHORT_BYTES:
                await to_others.room(_address(request))
        except ConnectionError:
            raise  # the client is gone
        except Exception as error:  # noqa: BLE001 - whatever it is, it is answered
            if isinstance(error, StoreFailed) and not isinstance(error, StoreUnreachable):
                service.failed.set()
            if isinstance(error, OverQuota):
                service.admission.note_refusal(error.resource)
            answer = _answer_to_failure(request, error, request_id)
            if isinstance(error, TooMuch) and error.resource in _UNREAD:
                answer.force_close()  # else it stays open through all that it asks for in advance
        if not answer.prepared:
            answer.headers[REQUEST_ID] = request_id
            answer.headers[LEDGER_POSITION] = str(request[POSITION])
            asking = request.get(ASKING, ANONYMOUS)
            if asking == ANONYMOUS:
                _charge(to_others, _address(request), request, answer)
            else:
                _charge(to_accounts, asking, request, answer)
        if answer.status == BODY_TOO_SLOW or is_awaited(request):
            await _send_and_close(request, answer)
        return answer

    return handle


async def _log_in(request: web.Request, service: Service) -> tuple[Grant, str]:
    """Return what the caller may do, and the owner of what the request is about."""
    grant = request[GRANT] = await grant_of(request, service.accounts)
    _check_rate(service, grant.account)
    occupy_connection(request)
    owner = await owner_asked_for(request, grant.account, service.accounts)
    if owner != grant.account.uuid:
        grant.require("ledger:read")
    return grant, owner


def _answer_to_failure(request: web.Request, error: Exception, request_id: str) -> web.Response:
    """Answer with an error, unless the request's command was recorded: then it has succeeded."""
    changed = recorded_by(request, error)
    if changed is not None or not isinstance(error, Expected | web.HTTPException):
        # The template, as the path of an upload link is a secret.
        what = "failed" if changed is None else "was recorded, but cannot be shown"
        log.error(
            *("request %s %s: %s %s", request_id, what, request.method, url_template_of(request)),
            exc_info=error,
        )
    if changed is not None:
        answer = changed.answer()
        answer.headers[OUTCOME] = "recorded"
        return answer
    told = advice(request, error)
    answer = error_answer_for(request)(error, told)
    if isinstance(error, LoginRefused) and _comes_from_a_script(request):
        answer.headers[hdrs.WWW_AUTHENTICATE] = SCRIPT_CHALLENGE
    note_outcome(request, answer, outcome_after(request, error))
    return answer


def _check_rate(service: Service, account: Account) -> None:
    """Raise `TooMuch` if the account makes too many requests."""
    wait_s = service.rates.admit(account.uuid)
    if wait_s:
        limit = service.limits.requests_per_second
        message = f"the account makes more than {limit:,} requests a second"
        raise service.admission.refuse("requests", limit, math.ceil(wait_s), message)


def _charge(
    answers: AnswerBytes, payer: str, request: web.Request, answer: web.StreamResponse
) -> None:
    """Count a whole answer until the client has taken it."""
    hold_until_taken(request, answers.charge(payer, _length(answer)))


def _length(answer: web.StreamResponse) -> int:
    """Return how long a whole answer is; 0 for one that is sent in parts."""
    body = answer.body if isinstance(answer, web.Response) else None
    return len(body) if isinstance(body, bytes) else 0


def _address(request: web.Request) -> str:
    """Return what counts for a client that has not logged in."""
    return network_of(request.remote or "")


def _comes_from_a_script(request: web.Request) -> bool:
    return request.headers.get("X-Requested-With") == "XMLHttpRequest"


async def _authorise_and_handle(
    request: web.Request, grant: Grant | None, handler: Handler, once: Once
) -> web.StreamResponse:
    """Handle a request, if its account may make it. Raise whatever a handler may raise."""
    check_expectation(request)
    if request.method == hdrs.METH_OPTIONS:
        return _options(request)
    _check_allowed(request, None if grant is None else grant.account)
    if grant is not None:
        await request.app[JOB_SCOPES].check(request, grant)
        request.app[CALLS].check(request, grant)
    if has_key(request):
        return await once.answer(request, handler)
    answer = await handler(request)
    return make_conditional(request, answer) if request.method in READING else answer


async def _send_and_close(request: web.Request, answer: web.StreamResponse) -> None:
    """Send an answer without waiting for the rest of the body, as aiohttp would.

    It may still come; or it never comes, since nobody has asked for it.
    """
    answer.force_close()
    await answer.prepare(request)
    await answer.write_eof()
    request.protocol.force_close()


def _check_allowed(request: web.Request, account: Account | None) -> None:
    """Raise what keeps a request from its handler: first the router's error, then permissions."""
    routing_error = request.match_info.http_exception
    if routing_error is not None:
        raise routing_error
    if account and account.role == "auditor" and request.method not in READING:
        raise Forbidden("an auditor changes nothing")
    if account and access_of(request) == "staff":
        require_staff(account, "sees the whole ledger")
    check_accept(request)


def _options(request: web.Request) -> web.Response:
    """Answer with the methods of the URL; the router has looked for one named OPTIONS."""
    routing_error = request.match_info.http_exception
    if not isinstance(routing_error, web.HTTPMethodNotAllowed):
        raise routing_error or web.HTTPNotFound
    allowed = [method for method in METHODS if method in routing_error.allowed_methods]
    return web.Response(text=",".join(allowed))
