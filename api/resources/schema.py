"""The answers to `/schema/`: what fields there are, for clients that ask."""

from pathlib import Path

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler
from msgspec.structs import asdict

from api.http.responses import JsonObject, json_answer

_FOLDER = Path(__file__).with_name("schemas")


class Schema(msgspec.Struct, frozen=True):
    """A schema answer; the fields by name."""

    allowed_detail_http_methods: list[str]
    allowed_list_http_methods: list[str]
    default_format: str
    default_limit: int
    fields: dict[str, JsonObject]
    filtering: dict[str, int]
    ordering: list[str]


def load_schema(kind: str) -> Schema:
    """What `schemas/` holds for a kind of resource."""
    return msgspec.json.decode((_FOLDER / f"{kind}.json").read_bytes(), type=Schema)


def serve_schema(kind: str) -> Handler:
    """The handler of the kind's `/schema/`."""
    schema = asdict(load_schema(kind))

    async def serve(request: web.Request) -> web.Response:
        return json_answer(schema)

    return serve
