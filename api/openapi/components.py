"""The schemas of the API's description that are made from the structs of bodies.

An object that is shown has all its keys but those that may be `UNSET`, and no others
(`forbid_unknown_fields`). In an object that clients send, other keys are ignored, a null key counts
as absent, and integers and uuids may have other forms too (`api.http.fields`).
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.json import schema_components

from api.http.errors import Error
from api.http.requests import BULK_LIMIT
from api.http.responses import JsonObject, ListMeta, WalkMeta
from api.resources.account_bodies import LoggedIn, Login, NewToken, Profile, ProfileEdit, TokenLogin
from api.resources.drives.bodies import (
    ChunkLink,
    ChunkRequest,
    Drive,
    DriveClone,
    DriveEdit,
    DriveResize,
    LibraryDrive,
    NewDrive,
    NewUpload,
)
from api.resources.drives.representation import DRIVE_LIST_FIELDS
from api.resources.health import HealthStatus
from api.resources.jobs.representation import Job, JobActionResult, JobEvent, JobStatistics
from api.resources.keypairs.bodies import Keypair, KeypairEdit, NewKeypair, Pubkey
from api.resources.logs import LogEntry
from api.resources.proofs import ConsistencyProof, InclusionProof
from api.resources.schema import ResourceSchema
from api.resources.servers.addresses import IP_LIST_FIELDS, Ip
from api.resources.servers.bodies import (
    NewServer,
    RuntimeNic,
    Server,
    ServerActionResult,
    ServerClone,
    ServerEdit,
    StoppedRuntime,
)
from api.resources.servers.representation import SERVER_LIST_FIELDS
from api.resources.staff_bodies import (
    Account,
    LedgerStatus,
    OwnAccount,
    RetentionPlan,
    RetentionStanding,
)
from api.resources.tag_bodies import NewTag, Tag, TagEdit
from api.resources.unsupported import (
    Balance,
    Capabilities,
    CapabilitiesSchema,
    CloudStatus,
    CurrentUsage,
    EmptyList,
    Endpoints,
    Location,
    Price,
    Pricing,
)
from api.resources.websocket import BEAT
from api.text.urls import API_ROOT

Schemas = dict[str, JsonObject]

BODIES = (
    *(ListMeta, WalkMeta, EmptyList, Error, ResourceSchema, HealthStatus),
    *(Drive, NewDrive, NewUpload, DriveEdit, DriveClone, DriveResize, LibraryDrive),
    *(ChunkRequest, ChunkLink),
    *(Server, NewServer, ServerEdit, ServerClone, ServerActionResult, RuntimeNic, StoppedRuntime),
    *(Tag, NewTag, TagEdit),
    *(Keypair, NewKeypair, KeypairEdit, Pubkey, Ip),
    *(Login, LoggedIn, TokenLogin, NewToken),
    *(Profile, ProfileEdit, Balance, CurrentUsage, Price, Pricing),
    *(Job, JobActionResult, JobStatistics, JobEvent, LogEntry, InclusionProof, ConsistencyProof),
    *(LedgerStatus, OwnAccount, Account, RetentionStanding, RetentionPlan),
    *(Capabilities, CapabilitiesSchema, CloudStatus, Location, Endpoints),
)
LISTED = (
    "Drive",
    "Ip",
    "Job",
    "JobEvent",
    "Keypair",
    "LibraryDrive",
    "LogEntry",
    "Pubkey",
    "Server",
    "Tag",
)
LISTED_WHOLE = ("Account", "Location")
"""Resources whose lists do not take `fields`."""
IN_SHORT: Mapping[str, Collection[str]] = {
    "Drive": DRIVE_LIST_FIELDS,
    "Ip": IP_LIST_FIELDS,
    "Server": SERVER_LIST_FIELDS,
}
"""The fields that lists show of these; detailed lists show all."""
MADE = ("Drive", "Keypair", "Server", "Tag")
GIVEN = ("NewDrive", "NewKeypair", "NewServer", "NewTag", "NewUpload")
"""Bodies of which one request may hold several."""
EDITED = ("DriveEdit", "ServerEdit")
"""Bodies of which one request may hold several, each with the uuid of what it changes."""

FRAMED = {
    "jobs": "Job",
    "drives": "Drive",
    "servers": "Server",
    "tags": "Tag",
    "keypairs": "Keypair",
    "profile": "Profile",
}
"""The resources that websockets follow, by the `resource_type` of their frames."""

_NULL: JsonObject = {"type": "null"}
_BULK: JsonObject = {"minItems": 1, "maxItems": BULK_LIMIT}


def describe_bodies() -> Schemas:
    """Describe the structs, and lists of them, by name."""
    schemas = describe_structs(BODIES)
    for name in LISTED:
        schemas |= _lists(name, schemas[name], IN_SHORT.get(name))
    for name in LISTED_WHOLE:
        schemas[f"{name}List"] = _page(name, _reference(name))
    for name in MADE:
        schemas[f"{name}s"] = _closed({"objects": {**_several(name), "minItems": 1}})
    for name in GIVEN:
        schemas[f"{name}s"] = _one_or_several(name)
    for name in EDITED:
        schemas[f"{name}s"] = _edits(name)
    for kind, name in FRAMED.items():
        schemas[f"{name}Frame"] = _frame(kind, name)
    schemas["BeatFrame"] = _closed({key: {"const": value} for key, value in BEAT.items()})
    frames = [f"{name}Frame" for name in (*FRAMED.values(), "Beat")]
    return schemas | {"Frame": {"oneOf": [*map(_reference, frames)]}}


# Structs


def describe_structs(kinds: Sequence[type[Struct]]) -> Schemas:
    """Describe structs, and the named types in them, by name."""
    schemas: Schemas = {}
    _, structs = schema_components(kinds, ref_template=_pointer("{name}"))
    for name, struct in structs.items():
        schemas[name] = _object(struct, schemas)
    return schemas


def _object(struct: Any, schemas: Schemas) -> JsonObject:
    """Describe an object; put the named types in it into `schemas`."""
    is_given, required = "additionalProperties" not in struct, struct["required"]
    if not is_given:
        required = [
            name
            for name, said in struct["properties"].items()
            if name in required or "default" in said
        ]
    properties = {}
    for name, value in struct["properties"].items():
        schema = _value(value, schemas, is_given=is_given)
        properties[name] = _or_null(schema) if is_given and name not in required else schema
    del struct["title"]
    return {**struct, "required": required, "properties": properties}


def _value(said: Any, schemas: Schemas, *, is_given: bool) -> JsonObject:
    schema: dict[str, Any] = {key: said[key] for key in said if key != "default"}
    for key in ("items", "additionalProperties"):
        if key in schema:
            schema[key] = _value(schema[key], schemas, is_given=is_given)
    if "anyOf" in schema:
        each = [_value(one, schemas, is_given=is_given) for one in schema.pop("anyOf")]
        schema |= _any_of(each)
    if is_given and "minimum" in schema:
        return _any_of([schema, _digits(**schema)])
    return _named(schema, schemas, is_given=is_given)


def _digits(minimum: int, maximum: int, **_: object) -> JsonObject:
    """Describe an integer that is written as text, with as many digits as it may have."""
    more, most = len(str(minimum)) - 1, len(str(maximum)) - 1
    pattern = f"^[1-9][0-9]{{{more},{most}}}$" if minimum else f"^[0-9]{{1,{most + 1}}}$"
    return {"type": "string", "pattern": pattern}


def _named(schema: dict[str, Any], schemas: Schemas, *, is_given: bool) -> JsonObject:
    """Return a reference in place of a type that has a name."""
    if "title" not in schema:
        return schema
    name = schema.pop("title")
    about = {"description": schema.pop("description")} if "description" in schema else {}
    if name == "Uuid" and is_given:
        return {**about, **_reference("GivenReference")}
    assert schemas.setdefault(name, schema) == schema, f"there are two kinds of {name}"
    return {**about, **_reference(name)}


def _any_of(alternatives: Iterable[Any]) -> JsonObject:
    flat: list[JsonObject] = []
    for each in alternatives:
        flat += each["anyOf"] if set(each) == {"anyOf"} else [each]
    return {"anyOf": [each for nth, each in enumerate(flat) if each not in flat[:nth]]}


def _or_null(schema: Any) -> JsonObject:
    if isinstance(schema.get("type"), str):
        return {**schema, "type": [schema["type"], "null"]}
    return schema if _NULL in schema.get("anyOf", ()) else _any_of([schema, _NULL])


def _reference(name: str) -> JsonObject:
    return {"$ref": _pointer(name)}


def _pointer(name: str) -> str:
    return f"#/components/schemas/{name}"


# Lists

_WALKED = frozenset({"Drive", "Ip", "Job", "Keypair", "Pubkey", "Server", "Tag"})
"""Resources that `after` walks."""


def _lists(name: str, whole: Any, short: Collection[str] | None) -> Schemas:
    """Describe the lists of a resource; `fields` chooses the keys of their objects."""
    properties = whole["properties"]
    part = {"description": "The keys that `fields` names.", **_closed(properties), "required": []}
    lists: Schemas = {f"{name}Part": part}
    if short is None:
        return lists | {f"{name}List": _page(name, _in_part(name))}
    listed = {key: schema for key, schema in properties.items() if key in short}
    return lists | {
        f"Listed{name}": _closed(listed),
        f"{name}List": _page(name, _in_part(f"Listed{name}", name)),
        f"{name}DetailList": _page(name, _in_part(name)),
    }


def _in_part(shown: str, name: str = "") -> JsonObject:
    """Describe an object of which a list may show a part; `name` is that of the whole."""
    return _any_of(map(_reference, (shown, f"{name or shown}Part")))


def _page(name: str, shown: JsonObject) -> JsonObject:
    objects = {"type": "array", "items": shown}
    meta = _reference("ListMeta")
    if name in _WALKED:
        meta = _any_of([meta, _reference("WalkMeta")])
    return _closed({"meta": meta, "objects": objects})


def _one_or_several(name: str) -> JsonObject:
    several = {**_several(name), **_BULK}
    return _any_of([_reference(name), several, _open({"objects": several})])


def _edits(name: str) -> JsonObject:
    named = {"allOf": [_reference(name), _open({"uuid": _reference("GivenReference")})]}
    return _open({"objects": {"type": "array", "items": named, **_BULK}})


def _frame(kind: str, name: str) -> JsonObject:
    """Describe the frame of a resource; an account has a single profile."""
    url = f"{API_ROOT}/{kind}/"
    uri: JsonObject = {"type": "string", "pattern": f"^{re.escape(url)}.+/$"}
    if kind == "profile":
        uri = {"const": url}
    properties = {
        "resource_type": {"const": kind},
        "resource_uri": uri,
        "object": _reference(name),
    }
    return {**_closed(properties), "required": ["resource_type", "resource_uri"]}


def _several(name: str) -> JsonObject:
    return {"type": "array", "items": _reference(name)}


def _closed(properties: JsonObject) -> JsonObject:
    return {**_open(properties), "additionalProperties": False}


def _open(properties: JsonObject) -> JsonObject:
    """Describe an object that has these keys, and may have others."""
    return {"type": "object", "required": list(properties), "properties": properties}
