"""Multipart forms that end in a file, read within bounds like every other body."""

from collections.abc import AsyncIterator, Awaitable
from typing import NamedTuple, TypeVar

from aiohttp import BodyPartReader, MultipartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from api.http.errors import BadRequest, RequestRefused
from api.http.wire.bodies import (
    Pace,
    ask_for_body,
    check_not_compressed,
    media_type,
    upload_pace,
)

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
    if media_type(request) != "multipart/form-data":
        raise RequestRefused(415, "the request body must be multipart/form-data")
    check_not_compressed(request)
    await ask_for_body(request)
    pace = upload_pace(request)
    parts = await _read(request.multipart(), pace)
    fields: dict[str, str] = {}
    for _ in range(FIELDS_MAX):
        part = await _next(parts, pace)
        if part.name == FILE:
            return Form(fields, _bytes(part, pace))
        fields[part.name or ""] = await _text(part, pace)
    raise BadRequest(f"a form has {FIELDS_MAX} parts at the most")


async def _next(parts: MultipartReader, pace: Pace) -> BodyPartReader:
    part = await _read(parts.next(), pace)
    if part is None:
        raise BadRequest(f"the form has no part {FILE}", point=FILE)
    if not isinstance(part, BodyPartReader):
        raise BadRequest("a form within a form is not read")
    return part


async def _text(part: BodyPartReader, pace: Pace) -> str:
    value = bytearray()
    async for piece in _bytes(part, pace):
        value += piece
        if len(value) > FIELD_BYTES:
            raise BadRequest(f"a field has {FIELD_BYTES} bytes at the most")
    return value.decode("utf-8", "replace")


async def _bytes(part: BodyPartReader, pace: Pace) -> AsyncIterator[bytes]:
    # A file name means nothing: some clients give every part one.
    while piece := await _read(part.read_chunk(_READ_BYTES), pace):
        yield piece
    if not part.at_eof():
        raise BadRequest("a part of the form ended early")


async def _read(reading: Awaitable[T], pace: Pace) -> T:
    """Return what is read. Raise `RequestRefused` if it is malformed, or too slow."""
    try:
        return await pace.wait(reading)
    except web.RequestPayloadError:
        raise BadRequest("the request body ended early or is badly encoded") from None
    except (ValueError, RuntimeError, HttpProcessingError):
        raise BadRequest("the request body is not a well-formed form") from None
