"""The answers to `/schema/`: what fields there are, for clients that ask."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler
from msgspec import NODEFAULT, Meta, Struct, inspect
from msgspec.structs import asdict, replace

from api.http.fields import Reference
from api.http.requests import DEFAULT_LIMIT
from api.http.responses import JsonObject, json_answer
from api.resources.drives.bodies import DRIVE_STATUSES, Drive, DriveEdit, NewDrive
from api.resources.servers.bodies import NewServer, Server, ServerEdit

NO_DEFAULT = "No default provided."

_FOLDER = Path(__file__).with_name("schemas")
_TYPES = {bool: "boolean", int: "integer", str: "string"}


class Schema(Struct, frozen=True, kw_only=True):
    """A schema answer; the fields by name."""

    allowed_detail_http_methods: list[str]
    allowed_list_http_methods: list[str]
    default_format: str = "application/json"
    default_limit: int = DEFAULT_LIMIT
    fields: Mapping[str, JsonObject]
    filtering: dict[str, int]
    ordering: list[str]


def load_schema(kind: str) -> Schema:
    """Return what `schemas/` holds for a kind of resource; the statuses have their own table."""
    schema = msgspec.json.decode((_FOLDER / f"{kind}.json").read_bytes(), type=Schema)
    if "status" not in schema.fields:
        return schema
    status = {**schema.fields["status"], "choices": DRIVE_STATUSES}
    return replace(schema, fields={**schema.fields, "status": status})


def serve_schema(kind: str) -> Handler:
    """The handler of the kind's `/schema/`."""
    schema = asdict(SCHEMAS[kind] if kind in SCHEMAS else load_schema(kind))

    async def serve(request: web.Request) -> web.Response:
        return json_answer(schema)

    return serve


# Fields, out of the structs of bodies


class _Type(NamedTuple):
    """A type without what is said about it."""

    bare: inspect.Type
    is_nullable: bool
    description: str
    extra: Mapping[str, object]


def schema_fields(shown: type[Struct], *given: type[Struct]) -> Mapping[str, JsonObject]:
    """Describe what is shown; `given` is what clients say, first of all to make one."""
    return _fields(_struct(shown), *map(_struct, given))


def _struct(kind: type[Struct]) -> inspect.StructType:
    found = inspect.type_info(kind)
    assert isinstance(found, inspect.StructType)
    return found


def _fields(shown: inspect.StructType, *given: inspect.StructType) -> dict[str, JsonObject]:
    said = {field.name: field for kind in reversed(given) for field in kind.fields}
    return {field.name: _field(field, said.get(field.name)) for field in shown.fields}


def _field(shown: inspect.Field, given: inspect.Field | None) -> JsonObject:
    kind = _type_of(shown.type)
    field: JsonObject = {
        "default": kind.extra.get("default", _default(shown)),
        "help_text": kind.description or f"{shown.name.replace('_', ' ').capitalize()}.",
        "readonly": given is None,
        "required": given is not None and given.required,
        "type": kind.extra.get("type", _type_name(kind.bare)),
    }
    if "choices" in kind.extra:
        field["choices"] = kind.extra["choices"]
    within = _within(kind)
    if within is not None:
        parts = None if given is None else _within(_type_of(given.type))
        field["fields"] = _fields(within) if parts is None else _fields(within, parts)
    return field


def _type_of(kind: inspect.Type) -> _Type:
    description, is_nullable = "", False
    extra: dict[str, object] = {}
    while True:
        match kind:
            case inspect.Metadata():
                description = description or (kind.extra_json_schema or {}).get("description", "")
                extra = {**(kind.extra or {}), **extra}
                kind = kind.type
            case inspect.UnionType(types=(inner, inspect.NoneType())):
                kind, is_nullable = inner, True
            case _:
                return _Type(kind, is_nullable, description, extra)


def _within(kind: _Type) -> inspect.StructType | None:
    """The object, or that in a list, whose fields are told of; not of one that may be null."""
    match kind.bare:
        case inspect.VarTupleType(item_type=item):
            return _within(_type_of(item))
        case inspect.StructType(cls=cls) if cls is Reference or not kind.is_nullable:
            return kind.bare
    return None


def _type_name(kind: inspect.Type) -> str:
    match kind:
        case inspect.StrType():
            return "string"
        case inspect.BoolType():
            return "boolean"
        case inspect.IntType():
            return "integer"
        case inspect.LiteralType(values=values):
            return _TYPES[type(values[0])]
        case inspect.VarTupleType():
            return "list"
        case inspect.StructType(cls=cls) if cls is Reference:
            return "related"
    return "object"


def _default(field: inspect.Field) -> object:
    if field.default_factory is not NODEFAULT:
        return field.default_factory()
    return NO_DEFAULT if field.default is NODEFAULT else field.default


class _ServerSchema(Server, kw_only=True):
    """Has what only `/schema/` tells of, as that of the public API does."""

    allocation_pool: str | None = None
    is_grey: Annotated[bool, Meta(description="Reserved.")] = False


SCHEMAS = {
    "drives": Schema(
        allowed_detail_http_methods=["get", "put", "delete"],
        allowed_list_http_methods=["get", "put", "delete", "post"],
        fields=schema_fields(Drive, NewDrive, DriveEdit),
        filtering={"name": 1, "tag": 1, "uuid": 1},
        ordering=["uuid", "name"],
    ),
    "servers": Schema(
        allowed_detail_http_methods=["get", "put", "delete"],
        allowed_list_http_methods=["get", "put", "delete", "post"],
        fields=schema_fields(_ServerSchema, NewServer, ServerEdit),
        filtering={"name": 1, "tag": 1, "uuid": 1},
        ordering=["uuid", "name"],
    ),
}
