"""Answers: single objects and pages, whole or in pieces.

A whole answer has an entity tag (`api.http.etags`); one that is sent in parts (`api.http.streams`)
has none, because its end is not known when its head is sent.
"""

from collections.abc import Generator, Iterable, Sequence
from typing import Annotated, Protocol

import msgspec
import orjson
from aiohttp import hdrs, web
from msgspec import Struct

from api.http.fields import Count, Representation, about
from api.http.requests import SHORT_LIMIT, Page

JsonObject = dict[str, object]
Shown = JsonObject | Struct
"""A resource as it is shown."""

JSON_TYPE = "application/json; charset=utf-8"
LEDGER_POSITION = "X-Ledger-Position"


class ListMeta(Representation, frozen=True):
    limit: Annotated[Count, about("As requested.")]
    offset: Annotated[Count, about("As requested.")]
    total_count: Annotated[Count, about("The number of matches.")]


class WalkMeta(Representation, frozen=True):
    """Of a page of a walk (`after`)."""

    limit: Annotated[int, about("As asked for.", ge=1, le=SHORT_LIMIT)]
    next: Annotated[
        str | None, about("What `after` is for the next page; null after the last one.")
    ]


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


def only_answer(objects: Sequence[Shown], status: int = 200) -> web.Response:
    """Answer with the only one of these."""
    (only_one,) = objects
    return json_answer(only_one, status)


def objects_answer(objects: Sequence[Shown], status: int = 200) -> web.Response:
    return json_answer({"objects": objects}, status)


def page_answer(page: Page, total: int, objects: Sequence[Shown]) -> web.Response:
    return json_answer({"meta": page_meta(page, total), "objects": objects})


def list_pieces(meta: Struct, batches: Iterable[Sequence[Shown]]) -> Generator[bytes]:
    """Yield the same answer in pieces, for `stream`."""
    before = b'{"meta":' + encode(meta) + b',"objects":['
    for batch in batches:
        if batch:
            yield before + encode(batch)[1:-1]
            before = b","
    yield b"]}" if before == b"," else before + b"]}"


def page_meta(page: Page, total: int) -> ListMeta:
    return ListMeta(page.limit, page.offset, total)
