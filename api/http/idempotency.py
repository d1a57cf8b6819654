"""`Idempotency-Key`: a POST with a key is executed once, and a repeat gets the first answer.

The key is recorded in the transaction of the request's command (`ledger.domain.idempotency`), and
the answer before it is sent. After a crash between the two, a repeat takes the same path again,
with the same uuids for what is new; its command is not executed, and the answer shows the present
state. So does a repeat of what was answered with a secret, as such an answer is not kept. A refused
request has recorded nothing, so it may be sent again, corrected or not.
"""

import asyncio
import logging
import re

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from api.http.access import UNKEYED_URLS, access_of
from api.http.errors import BadRequest, RequestRefused
from api.http.keyed_request import KeyedRequest
from api.http.requests import ANONYMOUS, ASKING, BODY, NEW_ID, owner_of
from api.http.streams import ADMISSION
from api.http.wire.bodies import KEYED_REQUEST, read_body, upload_chunks
from api.service.service import Service
from ledger.domain.errors import Expected
from ledger.domain.errors.store import AlreadyClaimed, StoreFailed
from ledger.domain.idempotency import KeptAnswer

IDEMPOTENCY_KEY = "Idempotency-Key"

KEEP_S = 10.0
"""How long an answer waits until it is kept for repeats."""

log = logging.getLogger(__name__)

_KEY = re.compile(r"[!-~]{1,255}")
_QUOTED = re.compile(r'"(?:[^"\\]|\\["\\])*"')
_ESCAPED = re.compile(r'\\(["\\])')


def has_key(request: web.Request) -> bool:
    """Return whether the request is to be executed once; anonymous ones, as logins, are not."""
    return (
        request.method == hdrs.METH_POST
        and IDEMPOTENCY_KEY in request.headers
        and request.match_info.route.resource not in request.app[UNKEYED_URLS]
        and owner_of(request) != ANONYMOUS
    )


class Once:
    """Handles requests that are to be executed once."""

    def __init__(self, service: Service) -> None:
        self._keys = service.idempotency_keys
        self._new_id = service.new_id
        self._under_way: set[asyncio.Task[web.StreamResponse]] = set()

    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Return the handler's answer, or the answer to the first request with this key.

        Raise `RequestRefused` for a key that is bad or was used with another request, and what the
        handler raises.
        """
        about = f"{request.method} {request.path_qs}"
        keyed = request[KEYED_REQUEST] = KeyedRequest(_key(request), about, seed=self._new_id())
        if not _is_raw(request):
            request[BODY] = await read_body(request, inflated=True)
        # A client that disconnects will repeat the request: finish this one, and let the twin wait.
        task = asyncio.create_task(self._in_turn(request, handler, keyed))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_log_failure)
            raise

    async def _in_turn(
        self, request: web.Request, handler: Handler, keyed: KeyedRequest
    ) -> web.StreamResponse:
        account = owner_of(request)
        async with self._keys.turn(account, keyed.key):
            kept = await self._find_answer(request, keyed)
            if kept is not None:
                return _repeated_answer(kept)
            try:
                answer = await self._handle(request, handler, keyed)
            except AlreadyClaimed:  # by a request at another node, or one that nobody answered
                kept = await self._find_answer(request, keyed)
                if kept is not None:
                    return _repeated_answer(kept)
                answer = await self._handle(request, handler, keyed)
            if keyed.recorded and keyed.keeps_answer:
                await self._keep(account, keyed, answer)
            return answer

    async def _handle(
        self, request: web.Request, handler: Handler, keyed: KeyedRequest
    ) -> web.StreamResponse:
        request[NEW_ID] = keyed.ids().__next__
        return await handler(request)

    async def _keep(self, account: str, keyed: KeyedRequest, answer: web.StreamResponse) -> None:
        """Keep the answer; without it, a repeat shows the present state."""
        try:
            async with asyncio.timeout(KEEP_S):
                await self._keys.keep(account, keyed.claim, _answer_to_keep(answer))
        except (StoreFailed, TimeoutError) as error:
            log.warning("the answer to a request with a key is not kept: %s", error)

    async def _find_answer(self, request: web.Request, keyed: KeyedRequest) -> KeptAnswer | None:
        """Return the first answer, if any. Raise `RequestRefused` if the request was another.

        An upload that is repeated counts as one under way; raise `TooMuch` for one too many.
        """
        found = await self._keys.find(owner_of(request), keyed.key)
        if found is None:
            return None
        if _is_raw(request):
            with request.app[ADMISSION].take(request[ASKING], "uploads"):
                async for _ in upload_chunks(request):
                    pass  # only for the fingerprint: the image is there already
        if found.claim.fingerprint != keyed.claim.fingerprint:
            message = "this key was used with another request"
            raise RequestRefused(422, message, point=IDEMPOTENCY_KEY)
        keyed.resume(found.claim)
        return found.answer


def _log_failure(task: asyncio.Task[web.StreamResponse]) -> None:
    """Log why a request failed whose client has gone, unless that is no fault of the program."""
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, Expected | web.HTTPException | ConnectionError):
        log.error("a request failed whose client has gone", exc_info=error)


def _key(request: web.Request) -> str:
    """Return the key without quotation marks: standards put it between them, clients do not."""
    given = request.headers.getall(IDEMPOTENCY_KEY)
    key = given[0].strip()
    if _QUOTED.fullmatch(key):
        key = _ESCAPED.sub(r"\1", key[1:-1])
    if len(given) != 1 or not _KEY.fullmatch(key):
        message = "must be one key of 1 to 255 printable ASCII characters without blanks"
        raise BadRequest(f"{IDEMPOTENCY_KEY} {message}", point=IDEMPOTENCY_KEY)
    return key


def _is_raw(request: web.Request) -> bool:
    """Return whether the body is too long to be read before it is handled."""
    return access_of(request) == "raw"


def _answer_to_keep(answer: web.StreamResponse) -> KeptAnswer:
    assert isinstance(answer, web.Response), "an answer to a change is not streamed"
    body = answer.body or b""
    assert isinstance(body, bytes)
    headers = answer.headers
    location = headers.get(hdrs.LOCATION)
    return KeptAnswer(answer.status, headers.get(hdrs.CONTENT_TYPE, ""), location, body)


def _repeated_answer(kept: KeptAnswer) -> web.Response:
    headers = {hdrs.CONTENT_TYPE: kept.content_type}
    if kept.location is not None:
        headers[hdrs.LOCATION] = kept.location
    return web.Response(status=kept.status, body=kept.body, headers=headers)
