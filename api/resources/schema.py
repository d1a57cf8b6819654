"""The answers of `/schema/`: the fields of each kind of resource, and what can be done with it.

They follow from the structs of bodies, the routes, and the tables of filters: nothing is named that
is not there.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, get_args

from aiohttp import web
from aiohttp.typedefs import Handler
from msgspec import NODEFAULT, Meta, Struct, inspect

from api.http.fields import Reference, Representation, about
from api.http.middleware import METHODS
from api.http.requests import DEFAULT_LIMIT
from api.http.responses import JsonObject, json_answer
from api.resources import libdrives
from api.resources.account_bodies import Profile, ProfileEdit
from api.resources.collections import FILTERS, NAME_FILTERS, ordering
from api.resources.drives.bodies import Drive, DriveEdit, LibraryDrive, NewDrive
from api.resources.jobs import lists
from api.resources.jobs.representation import Job
from api.resources.keypairs.bodies import Keypair, KeypairEdit, NewKeypair, Pubkey
from api.resources.servers import addresses
from api.resources.servers.addresses import Ip
from api.resources.servers.bodies import NewServer, Server, ServerEdit
from api.resources.tag_bodies import NewTag, Tag
from api.resources.unsupported import Balance, CurrentUsage, Price
from api.text.urls import API_ROOT

NO_DEFAULT = "No default provided."

_TYPES = {bool: "boolean", int: "integer", str: "string"}


Lookup = Literal["exact", "contains", "icontains", "gte", "lt"]
Described = Annotated[
    dict[str, Any],
    Meta(extra_json_schema={"required": ["default", "help_text", "readonly", "type"]}),
]


class ResourceSchema(Representation, frozen=True, kw_only=True):
    """The fields, described for clients."""

    allowed_detail_http_methods: Sequence[str]
    allowed_list_http_methods: Sequence[str]
    default_format: Literal["application/json"] = "application/json"
    default_limit: int = DEFAULT_LIMIT
    fields: Mapping[str, Described]
    filtering: Annotated[
        Mapping[str, Lookup], about("The parameters that filter the list, each with its lookup.")
    ]
    ordering: Sequence[str]


class Kind(NamedTuple):
    """A kind of resource: its fields, and what its list can be filtered by."""

    fields: Mapping[str, JsonObject]
    filters: Collection[str] = ()


def serve_schema(kind: str) -> Handler:
    """Return the handler of the kind's `/schema/`."""

    async def serve(request: web.Request) -> web.Response:
        described = KINDS[kind]
        order = ordering(described.filters)
        return json_answer(schema_of(request.app, kind, described, order))

    return serve


def schema_of(app: web.Application, name: str, kind: Kind, order: Sequence[str]) -> ResourceSchema:
    """Return the schema of the resources below `/NAME/`; a single one has no URLs of its own."""
    methods = _methods(app, f"{API_ROOT}/{name}")
    return ResourceSchema(
        allowed_list_http_methods=methods,
        allowed_detail_http_methods=_methods(app, f"{API_ROOT}/{name}/{{uuid}}") or methods,
        fields=kind.fields,
        filtering={parameter: _lookup(parameter) for parameter in kind.filters},
        ordering=order,
    )


def _methods(app: web.Application, url: str) -> list[str]:
    """Return the methods of a URL, in the order in which OPTIONS names them."""
    there = {
        route.method
        for resource in app.router.resources()
        if resource.canonical == url
        for route in resource
    }
    return [method.lower() for method in METHODS if method in there]


def _lookup(parameter: str) -> Lookup:
    """Return how a parameter of a list compares; `tag__name` names a field of another resource."""
    return _LOOKUPS.get(parameter.rpartition("__")[2], "exact")


_LOOKUPS: Mapping[str, Lookup] = {each: each for each in get_args(Lookup)}


# Fields, derived from the structs of bodies


class _Type(NamedTuple):
    """A type without its annotations, and what they say."""

    bare: inspect.Type
    is_nullable: bool
    description: str
    extra: Mapping[str, object]


def describe_fields(shown: type[Struct], *given: type[Struct]) -> Mapping[str, JsonObject]:
    """Describe the fields of `shown`; `given` are the bodies that clients send.

    The body that creates a resource comes first: it says which fields are required.
    """
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
    """Return the object, or a list's kind of object, whose fields are described too.

    Those of an object that may be null are not, unless it is a reference.
    """
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
    """A server with the fields that only `/schema/` shows, as in the public API."""

    allocation_pool: str | None = None
    is_grey: Annotated[bool, Meta(description="Reserved.")] = False


KINDS = {
    "drives": Kind(describe_fields(Drive, NewDrive, DriveEdit), FILTERS),
    "servers": Kind(describe_fields(_ServerSchema, NewServer, ServerEdit), FILTERS),
    "tags": Kind(describe_fields(Tag, NewTag), NAME_FILTERS),
    "keypairs": Kind(describe_fields(Keypair, NewKeypair, KeypairEdit), NAME_FILTERS),
    "pubkeys": Kind(describe_fields(Pubkey), NAME_FILTERS),
    "ips": Kind(describe_fields(Ip), addresses.FILTERS),
    "libdrives": Kind(describe_fields(LibraryDrive), libdrives.FILTERS),
    "profile": Kind(describe_fields(Profile, ProfileEdit)),
    "balance": Kind(describe_fields(Balance)),
    "currentusage": Kind(describe_fields(CurrentUsage)),
    "pricing": Kind(describe_fields(Price)),
}


# Jobs: the public API describes their fields in another way.

_HELP = {
    "string": 'Unicode string data. Ex: "Hello World"',
    "datetime": 'A date & time as a string. Ex: "2010-11-10T03:07:43"',
}
_FLAGS = ("blank", "nullable", "readonly", "unique")


def describe_jobs(app: web.Application, now: str) -> ResourceSchema:
    """Describe jobs; the default of a time is `now`."""
    every = sorted(_struct(Job).fields, key=lambda field: field.name)
    fields = {field.name: _job_field(_type_of(field.type), now) for field in every}
    return schema_of(app, "jobs", Kind(fields, lists.FILTERS), lists.ORDERING)


def _job_field(kind: _Type, now: str) -> JsonObject:
    said = {"type": _type_name(kind.bare), **kind.extra}
    name = str(said["type"])
    return {
        "type": name,
        "help_text": said.get("help_text", _HELP.get(name)),
        "default": said.get("default", now if name == "datetime" else NO_DEFAULT),
        **{flag: said.get(flag, False) for flag in _FLAGS},
    }
