"""Answers: single objects, pages, and streams of lists that are too long to build at once.

A whole answer has an entity tag (`api.http.etags`); a stream has none, because its end is not known
when its head is sent.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Protocol, TypeVar

import msgspec
import orjson
from aiohttp import hdrs, web
from msgspec import Struct

from api.http.request_ids import REQUEST_ID
from api.http.requests import CALLER, POSITION, Page

V = TypeVar("V")

JsonObject = dict[str, object]
Shown = JsonObject | Struct
"""A resource as it is shown."""

STALL_S = 20.0
"""How long a client may take to receive a part of a stream ..."""
STREAM_S = 600.0
"""... and all of it, which takes a thread and a snapshot that keeps the WAL from shrinking."""
WHOLE_BYTES = 256 * 1024
"""Lists up to this length are sent in one piece."""
JSON_TYPE = "application/json; charset=utf-8"
LEDGER_POSITION = "X-Ledger-Position"

STREAMS = 16
_THREADS = ThreadPoolExecutor(STREAMS, thread_name_prefix="list")
"""Threads of their own: a slow client must not keep uploads waiting."""

log = logging.getLogger(__name__)


class Located(Protocol):
    """A resource that has a URL."""

    @property
    def resource_uri(self) -> str: ...


def encode(value: object) -> bytes:
    """Return the value as JSON; structs in it are encoded as they are."""
    return orjson.dumps(value, default=_encode_struct)


def _encode_struct(value: object) -> orjson.Fragment:
    if not isinstance(value, Struct):
        raise TypeError
    return orjson.Fragment(msgspec.json.encode(value))


def only(shown: Shown, fields: frozenset[str] | None) -> Shown:
    """Return the object with no other keys than these; None: all of it."""
    if fields is None:
        return shown
    if isinstance(shown, Struct):
        return {key: getattr(shown, key) for key in shown.__struct_fields__ if key in fields}
    return {key: value for key, value in shown.items() if key in fields}


def json_answer(value: object, status: int = 200) -> web.Response:
    return answer_of(encode(value), status)


def answer_of(body: bytes, status: int = 200, *, tag: str | None = None) -> web.Response:
    """An answer whose JSON is there already, and maybe its entity tag."""
    headers = {hdrs.CONTENT_TYPE: JSON_TYPE}
    if tag is not None:
        headers[hdrs.ETAG] = tag
    return web.Response(body=body, status=status, headers=headers)


def created(objects: Sequence[Located]) -> web.Response:
    """Answer a create; a single new object gets a `Location`."""
    answer = json_answer({"objects": objects}, status=201)
    if len(objects) == 1:
        answer.headers[hdrs.LOCATION] = objects[0].resource_uri
    return answer


def page_answer(page: Page, total: int, objects: Sequence[Shown], **beside: object) -> web.Response:
    """Answer with a page of a list, and what belongs beside it."""
    return json_answer({**beside, "meta": _meta(page, total), "objects": objects})


def list_parts(page: Page, total: int, batches: Iterable[Sequence[Shown]]) -> Generator[bytes]:
    """Yield the same answer in pieces, for `stream`."""
    before = b'{"meta":' + encode(_meta(page, total)) + b',"objects":['
    for batch in batches:
        if batch:
            yield before + encode(batch)[1:-1]
            before = b","
    yield b"]}" if before == b"," else before + b"]}"


def within(batches: Iterable[Sequence[V]], page: Page) -> Iterator[Sequence[V]]:
    """Yield the page's part of a whole list that comes in batches."""
    start, end = page.bounds.start, page.bounds.stop
    passed = 0
    for batch in batches:
        yield batch[max(0, start - passed) : None if end is None else max(0, end - passed)]
        passed += len(batch)
        if end is not None and passed >= end:
            return


async def stream(request: web.Request, parts: Generator[bytes]) -> web.StreamResponse:
    """Send the parts, which one thread iterates, as fast as the client reads them.

    A short list is answered whole. An error before anything is sent is raised; after that the
    connection is cut, so that the client does not mistake a part for the whole.
    """
    response = web.StreamResponse(
        headers={
            hdrs.CONTENT_TYPE: JSON_TYPE,
            REQUEST_ID: request[CALLER].request_id,
            LEDGER_POSITION: str(request[POSITION]),
        }
    )
    loop = asyncio.get_running_loop()

    async def send(part: bytes) -> None:
        if not response.prepared:
            await response.prepare(request)
        if request.method != hdrs.METH_HEAD:
            await response.write(part)

    def pump() -> bytes:
        """Send the parts; return the answer instead if it is short."""
        waiting = b""
        give_up = time.monotonic() + STREAM_S
        with closing(parts):
            for part in parts:
                if time.monotonic() > give_up:
                    raise TimeoutError
                waiting += part
                if response.prepared or len(waiting) > WHOLE_BYTES:
                    asyncio.run_coroutine_threadsafe(send(waiting), loop).result(STALL_S)
                    waiting = b""
        return waiting

    try:
        whole = await loop.run_in_executor(_THREADS, pump)
    except Exception as error:
        if not response.prepared:
            raise
        if not isinstance(error, ConnectionError):
            log.exception("a streamed list was cut short")
        request.protocol.force_close()
        return response
    return response if response.prepared else answer_of(whole)


async def read_in_thread(read: Callable[[], V]) -> V:
    """Do a read that is too long for the event loop in a thread of the lists."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, read)


def _meta(page: Page, total: int) -> JsonObject:
    return {"limit": page.limit, "offset": page.offset, "total_count": total}
