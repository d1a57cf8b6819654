"""What goes over the admin socket, whatever it is about."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

import msgspec
from aiohttp import web

from api.operations import OperationRefused

T = TypeVar("T")

encode = msgspec.json.Encoder().encode


class Refused(msgspec.Struct, tag="refused"):
    reason: str


class Ask(Protocol):
    """Asks the service that runs; None for `patience_s`: however long it takes."""

    async def __call__(
        self, method: str, path: str, body: object = None, *, patience_s: float | None = ...
    ) -> bytes: ...


async def asked(request: web.Request, decode: Callable[[bytes], T]) -> T:
    """What is asked for; else it is answered with 400."""
    try:
        return decode(await request.read())
    except msgspec.MsgspecError as error:
        raise web.HTTPBadRequest(text=str(error)) from error


async def answer(operation: Awaitable[Any]) -> web.Response:
    """Its result, or why it was refused."""
    try:
        result = await operation
    except OperationRefused as refusal:
        return web.json_response(body=encode(Refused(str(refusal))), status=409)
    return web.json_response(body=encode(result))
