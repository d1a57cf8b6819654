"""Multipart forms that end in a file, read within bounds like every other body."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import NamedTuple, TypeVar

from aiohttp import BodyPartReader, MultipartReader, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from api.http.errors import BadRequest, RequestRefused
from api.http.requests import SILENCE_S

FIELDS_MAX = 64
FIELD_BYTES = 8 * 1024
FILE = "file"
"""The name of the part that is the file."""
_READ_BYTES = 256 * 1024

T = TypeVar("T")


class Form(NamedTuple):
    """The fields before the file, and the file's bytes as they arrive."""

    fields: dict[str, str]
    file: AsyncIterator[bytes]


async def read_form(request: web.Request) -> Form:
    """Read a form up to its file; what follows the file is not read.

    Raise `RequestRefused` if the body is not a form, is compressed, malformed or stalled, or has no
    file; so does reading the file.
    """
    if request.content_type != "multipart/form-data":
        raise RequestRefused(415, "the request body must be multipart/form-data")
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise RequestRefused(415, "an upload cannot be compressed")
    parts = await _read(request.multipart())
    fields: dict[str, str] = {}
    for _ in range(FIELDS_MAX):
        part = await _next(parts)
        if part.name == FILE:
            return Form(fields, _bytes(part))
        fields[part.name or ""] = await _text(part)
    raise BadRequest(f"a form has {FIELDS_MAX} parts at the most")


async def _next(parts: MultipartReader) -> BodyPartReader:
    part = await _read(parts.next())
    if part is None:
        raise BadRequest(f"the form has no part {FILE}", point=FILE)
    if not isinstance(part, BodyPartReader):
        raise BadRequest("a form within a form is not read")
    return part


async def _text(part: BodyPartReader) -> str:
    value = bytearray()
    async for piece in _bytes(part):
        value += piece
        if len(value) > FIELD_BYTES:
            raise BadRequest(f"a field has {FIELD_BYTES} bytes at the most")
    return value.decode("utf-8", "replace")


async def _bytes(part: BodyPartReader) -> AsyncIterator[bytes]:
    # A file name means nothing: some clients give every part one.
    while piece := await _read(part.read_chunk(_READ_BYTES)):
        yield piece
    if not part.at_eof():
        raise BadRequest("a part of the form ended early")


async def _read(reading: Awaitable[T]) -> T:
    """Return what is read. Raise `RequestRefused` if it is malformed, or stalls."""
    try:
        async with asyncio.timeout(SILENCE_S):
            return await reading
    except TimeoutError:
        raise RequestRefused(408, f"the body sent nothing for {SILENCE_S:g} s") from None
    except web.RequestPayloadError:
        raise BadRequest("the request body ended early or is badly encoded") from None
    except (ValueError, RuntimeError, HttpProcessingError):
        raise BadRequest("the request body is not a well-formed form") from None
