"""Reading the bodies of requests, within limits.

Nothing of a body is asked for, inflated or kept before the caller is known and a handler wants it.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Sequence
from time import monotonic
from typing import TypeVar

from aiohttp import HttpVersion11, hdrs, web

from api.http.errors import BadRequest, RequestRefused, TooLong
from api.http.keyed_request import KeyedRequest
from api.http.wire.inflation import ENCODINGS, BadEncoding, BodyTooLong, inflate
from api.service.limits import Limits

T = TypeVar("T")

LIMITS = web.AppKey("limits", Limits)
KEYED_REQUEST = web.RequestKey("keyed-request", KeyedRequest)
"""Set if the request has an `Idempotency-Key` (`api.http.idempotency`)."""
EXPECTATION = web.RequestKey("expectation", str)
"""What the client expects before it sends the body; removed once it is fulfilled."""

BODY_BYTES = 256 * 1024
"""The longest body that is accepted, inflated or not, apart from uploads."""
WINDOW_S = 30.0
"""How long the speed of an upload is measured."""
IDENTITY = "identity"

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


async def read_body(request: web.Request, *, inflated: bool, most: int = BODY_BYTES) -> bytes:
    """Read the whole body. Raise `RequestRefused` for one that is too long or too slow.

    `inflated` says whether it may be compressed; `most` is how long it may be, inflated or not.
    """
    if not request.can_read_body:
        return b""
    encoding = _encoding_of(request)
    if encoding != IDENTITY and not (inflated and encoding in ENCODINGS):
        raise _encoding_refused(ENCODINGS if inflated else ())
    if (request.content_length or 0) > most:
        raise TooLong(most)
    body = bytearray()
    async for chunk in _chunks(request, _body_pace(request)):
        body += chunk
        if len(body) > most:
            raise TooLong(most)
    content = bytes(body) if encoding == IDENTITY else _inflated(bytes(body), encoding, most)
    keyed = request.get(KEYED_REQUEST)
    if keyed is not None:
        keyed.read(content)
    return content


async def upload_chunks(request: web.Request) -> AsyncIterator[bytes]:
    """Yield the bytes of an upload as they arrive. Raise `RequestRefused` for one that is slow."""
    keyed = request.get(KEYED_REQUEST)
    async for chunk in _chunks(request, upload_pace(request)):
        if keyed is not None:
            keyed.read(chunk)
        yield chunk


def check_not_compressed(request: web.Request) -> None:
    """Raise `RequestRefused` unless the body is sent as it is, as uploads must be."""
    if _encoding_of(request) != IDENTITY:
        raise _encoding_refused(())


def media_type(request: web.Request) -> str:
    """Return the type of the body, without parameters.

    For aiohttp's `content_type`, eight thousand quotation marks are half a second of work.
    """
    return request.headers.get(hdrs.CONTENT_TYPE, "").partition(";")[0].strip().lower()


def check_expectation(request: web.Request) -> None:
    """Raise `RequestRefused` if the client expects what we do not know."""
    expected = request.get(EXPECTATION)
    if expected is not None and expected.lower() != "100-continue":
        raise RequestRefused(417, "only 100-continue can be expected")


def is_awaited(request: web.Request) -> bool:
    """Return whether the client still waits for us to ask for the body."""
    return EXPECTATION in request and request.can_read_body


async def ask_for_body(request: web.Request) -> None:
    """Tell a client that waits for it to send the body."""
    if request.get(EXPECTATION) is None:
        return
    del request[EXPECTATION]
    if request.version == HttpVersion11:
        await request.writer.write(_CONTINUE)
        request.writer.output_size = 0  # the answer has not begun yet


class Pace:
    """How slowly a body may come. Only the time counts for which the service waits for it."""

    def __init__(
        self, request: web.Request, *, window_s: float, least_bytes: float, too_slow: str
    ) -> None:
        """`least_bytes` must arrive in each window; a window of 0 s never ends."""
        self._content = request.content
        self._silence_s = request.app[LIMITS].body_silence_seconds
        self._window_s = window_s
        self._least_bytes = least_bytes
        self._too_slow = too_slow
        self._waited_s = 0.0
        self._bytes_before = self._content.total_bytes

    async def wait(self, reading: Awaitable[T]) -> T:
        """Return what is read. Raise `RequestRefused` if it comes too slowly."""
        began = monotonic()
        silence_s, rest_s = self._silence_s or math.inf, self._rest_s()
        patience_s = min(silence_s, rest_s)
        try:
            async with asyncio.timeout(None if patience_s == math.inf else patience_s):
                found = await reading
        except TimeoutError:
            if silence_s <= rest_s:
                message = f"the body sent nothing for {silence_s:g} s"
                raise RequestRefused(408, message) from None
            raise RequestRefused(408, self._too_slow) from None
        self._waited_s += monotonic() - began
        if self._window_s and self._waited_s >= self._window_s:
            self._begin_window()
        return found

    def _rest_s(self) -> float:
        """Return when the body will have been too slow, unless enough comes until then."""
        if not self._window_s or not self._is_behind():
            return math.inf
        return max(0.0, self._window_s - self._waited_s)

    def _begin_window(self) -> None:
        if self._is_behind():
            raise RequestRefused(408, self._too_slow)
        self._waited_s = 0.0
        self._bytes_before = self._content.total_bytes

    def _is_behind(self) -> bool:
        return self._content.total_bytes - self._bytes_before < self._least_bytes


def upload_pace(request: web.Request) -> Pace:
    """Return the pace of an upload, which may take as long as its length needs."""
    speed = request.app[LIMITS].bytes_per_second
    return Pace(
        request,
        window_s=WINDOW_S if speed else 0.0,
        least_bytes=speed * WINDOW_S,
        too_slow=f"an upload must send {speed} bytes/s",
    )


def _body_pace(request: web.Request) -> Pace:
    """Return the pace of any other body, all of which must come within the window."""
    seconds = request.app[LIMITS].body_seconds
    return Pace(
        request,
        window_s=seconds,
        least_bytes=math.inf,
        too_slow=f"the body took longer than {seconds:g} s",
    )


async def _chunks(request: web.Request, pace: Pace) -> AsyncIterator[bytes]:
    """Yield the body as it arrives. Raise `RequestRefused` if it stalls or is cut short."""
    await ask_for_body(request)
    while True:
        has_arrived, reading = request.content.is_eof(), request.content.readany()
        try:
            chunk = await (reading if has_arrived else pace.wait(reading))
        except web.RequestPayloadError:
            raise BadRequest("the request body ended early or is badly encoded") from None
        if not chunk:
            return
        yield chunk


def _encoding_of(request: web.Request) -> str:
    return request.headers.get(hdrs.CONTENT_ENCODING, IDENTITY).strip().lower()


def _inflated(body: bytes, encoding: str, most: int) -> bytes:
    try:
        return inflate(body, encoding, most)
    except BodyTooLong:
        raise TooLong(most) from None
    except BadEncoding:
        raise BadRequest(f"the request body is not {encoding}, or is cut short") from None


def _encoding_refused(encodings: Sequence[str]) -> RequestRefused:
    """Refuse an encoding, and name those that would have done (RFC 9110, 15.5.16)."""
    accepted = ", ".join((IDENTITY, *encodings))
    message = f"the request body may be encoded as one of {accepted}"
    if not encodings:
        message = "this request body cannot be compressed"
    return RequestRefused(415, message, headers={hdrs.ACCEPT_ENCODING: accepted})
