"""What `/schema/` calls writable is taken or refused, wherever it is sent: CONTRACT.md 0.

The fields come from the schemas themselves and the requests from the API's description, so a new
field or a new request is covered by itself, or the test says what it lacks.
"""

import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple

import pytest

from api.http.not_applied import NOT_APPLIED
from tests.api.calling import DRIVE, KEYPAIR, PUBLIC_KEY, SERVER, UNKNOWN, Answer, Api
from tests.api.openapi.test_openapi import OPERATIONS
from tests.contract.following import Json, listed, settled, shown

GIB = 1024**3
NEW_DRIVE = {**DRIVE, "size": 2 * GIB}
NEW_SERVER = {**SERVER, "cpu": 4000}


class Taker(NamedTuple):
    """A request that takes fields of a kind; `send` adds them to what it needs at the least."""

    kind: str
    operation: str
    send: Callable[[Api, Json], Awaitable[Answer]]


async def put_drive(api: Api, said: Json) -> Answer:
    return await api.put(f"/drives/{await api.drive(size=2 * GIB)}/", said)


async def put_drives(api: Api, said: Json) -> Answer:
    return await api.put("/drives/", [{"uuid": await api.drive(size=2 * GIB), **said}])


async def clone_drive(api: Api, said: Json) -> Answer:
    return await api.post(f"/drives/{await api.drive(size=2 * GIB)}/action/?do=clone", said)


async def resize_drive(api: Api, said: Json) -> Answer:
    body = {"size": 2 * GIB, **said}
    return await api.post(f"/drives/{await api.drive(size=2 * GIB)}/action/?do=resize", body)


async def put_server(api: Api, said: Json) -> Answer:
    return await api.put(f"/servers/{await api.server(cpu=4000)}/", said)


async def put_servers(api: Api, said: Json) -> Answer:
    return await api.put("/servers/", {"objects": [{"uuid": await api.server(cpu=4000), **said}]})


async def clone_server(api: Api, said: Json) -> Answer:
    return await api.post(f"/servers/{await api.server(cpu=4000)}/action/?do=clone", said)


async def put_tag(api: Api, said: Json) -> Answer:
    made = await api.post("/tags/", {"name": "fleet"})
    return await api.put(made.json["objects"][0]["resource_uri"], said)


async def put_keypair(api: Api, said: Json) -> Answer:
    return await api.put(f"/keypairs/{await api.keypair()}/", said)


TAKERS = (
    Taker("drives", "post /drives/", lambda api, said: api.post("/drives/", {**NEW_DRIVE, **said})),
    Taker(
        "drives",
        "post /initupload/",
        lambda api, said: api.post("/initupload/", {**NEW_DRIVE, **said}),
    ),
    Taker("drives", "put /drives/{uuid}/", put_drive),
    Taker("drives", "put /drives/", put_drives),
    Taker("drives", "clone /drives/{uuid}/action/", clone_drive),
    Taker("drives", "resize /drives/{uuid}/action/", resize_drive),
    Taker(
        "servers", "post /servers/", lambda api, said: api.post("/servers/", {**NEW_SERVER, **said})
    ),
    Taker("servers", "put /servers/{uuid}/", put_server),
    Taker("servers", "put /servers/", put_servers),
    Taker("servers", "clone /servers/{uuid}/action/", clone_server),
    Taker("tags", "post /tags/", lambda api, said: api.post("/tags/", {"name": "x", **said})),
    Taker("tags", "put /tags/{uuid}/", put_tag),
    Taker(
        "keypairs",
        "post /keypairs/",
        lambda api, said: api.post("/keypairs/", {**KEYPAIR, **said}),
    ),
    Taker("keypairs", "put /keypairs/{uuid}/", put_keypair),
    Taker("profile", "put /profile/", lambda api, said: api.put("/profile/", said)),
)
TAKE_NONE = {
    *("cancel /jobs/{uuid}/action/", "upload_chunk /drives/{uuid}/action/"),
    *(f"{switch} /servers/{{uuid}}/action/" for switch in ("start", "stop", "shutdown", "restart")),
    "clone /libdrives/{uuid}/action/",  # the same as that of a drive
}
"""Requests with a JSON body that has no fields of a resource."""


def documented() -> Iterator[str]:
    """Every request with a JSON body of a resource, each action for itself."""
    for name, operation in OPERATIONS.items():
        method, _, path = name.replace("/api/2.0/", "/").partition(" ")
        takes_json = "application/json" in operation.get("requestBody", {}).get("content", {})
        if method == "delete" or path.startswith("/accounts/") or not takes_json:
            continue
        actions = [
            action
            for parameter in operation.get("parameters", ())
            if parameter.get("name") == "do"
            for action in parameter["schema"]["enum"]
        ]
        yield from [f"{action} {path}" for action in actions] or [f"{method} {path}"]


def test_every_request_that_takes_fields_is_tried() -> None:
    """A new one that is described belongs into the table."""
    assert set(documented()) == {taker.operation for taker in TAKERS} | TAKE_NONE


# Samples


class Samples:
    """For each field a value that is not the default, made where it must exist."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def of(self, kind: str, name: str, field: Json) -> Any:
        made = await self._made(kind, name)
        if made is not None:
            return made
        others = [each for each in field.get("choices", ()) if each != field["default"]]
        chosen = others or field.get("choices")
        match field["type"]:
            case "boolean":
                return not field["default"]
            case "string":
                return chosen[0] if chosen else "another"
            case "list":
                return [chosen[0] if chosen else "another"]
            case "object":
                return {"key": "value"}
        return pytest.fail(f"no sample of {name}, which is {field['type']}: add one")

    async def _made(self, kind: str, name: str) -> Any:
        match kind, name:
            case "drives", "size":
                return 3 * GIB
            case "drives", "storage_type":
                return "zadara"
            case (("drives" | "servers"), "tags"):
                return [await self._tag()]
            case "servers", "cpu":
                return 5000
            case "servers", "mem":
                return GIB
            case "servers", "smp":
                return 2
            case "servers", "drives":
                return [
                    {
                        "drive": await self._api.drive(),
                        "device": "ide",
                        "dev_channel": "1:0",
                        "boot_order": 2,
                    }
                ]
            case "servers", "nics":
                return NICS
            case "servers", ("gpus" | "epcs"):
                return [{"size": 5}]
            case "servers", "pubkeys":
                return [await self._api.keypair()]
            case "keypairs", "public_key":
                return PUBLIC_KEY
            case "tags", "resources":
                return [await self._api.drive()]
        return None

    async def _tag(self) -> str:
        made = await self._api.post("/tags/", {"name": "fleet"})
        uuid: str = made.json["objects"][0]["uuid"]
        return uuid


NICS = [
    {
        "model": "e1000",
        "boot_order": 3,
        "mac": "22:01:02:03:04:05",
        "firewall_policy": UNKNOWN,
        "ip_v4_conf": {"conf": "static", "ip": "192.0.2.17"},
        "ip_v6_conf": {"conf": "dhcp"},
    },
    {"vlan": UNKNOWN},
]


def agrees(shows: Any, given: Any) -> bool:
    """Whether what is shown has what was given; a reference was given as its uuid."""
    match given:
        case dict() if isinstance(shows, dict):
            return all(agrees(shows.get(key), value) for key, value in given.items())
        case list() if isinstance(shows, list):
            return len(shows) == len(given) and all(map(agrees, shows, given))
        case str() if isinstance(shows, dict):
            return bool(shows["uuid"] == given)
        case _:
            return bool(shows == given)


# The walk


def writable(fields: Json) -> dict[str, Json]:
    return {name: field for name, field in fields.items() if not field["readonly"]}


async def changed(api: Api, answer: Answer) -> Json:
    """What the answer is about, once a resize that it began is over."""
    found: Json = answer.json
    found = found["objects"][0] if "objects" in found else found
    if found.get("status") == "resizing":
        return await settled(api, found["uuid"], "resizing")
    return found


async def test_no_writable_field_is_dropped(api: Api, subtests: pytest.Subtests):
    """Each is taken, or refused with its name as the point; and some request takes it."""
    samples = Samples(api)
    for kind, fields in (await writable_fields(api)).items():
        takers = [taker for taker in TAKERS if taker.kind == kind]
        for name, field in fields.items():
            taken = []
            for taker in takers:
                with subtests.test(kind=kind, field=name, by=taker.operation):
                    given = await samples.of(kind, name, field)
                    if await is_taken(api, taker, name, given):
                        taken.append(taker.operation)
            with subtests.test(kind=kind, field=name):
                assert taken
            for within in writable(field.get("fields", {})):
                with subtests.test(kind=kind, field=name, within=within):
                    sample = await samples.of(kind, name, field)
                    assert any(within in each for each in sample), "the sample lacks it"


async def writable_fields(api: Api) -> dict[str, dict[str, Json]]:
    """Those of each kind of resource that has a schema."""
    kinds = {
        found[1]
        for name in OPERATIONS
        if (found := re.fullmatch(r"get /api/2\.0/(\w+)/schema/", name))
    } - {"jobs", "capabilities"}
    schemas = {kind: await shown(api, f"/{kind}/schema/") for kind in sorted(kinds)}
    return {kind: writable(schema["fields"]) for kind, schema in schemas.items()}


async def is_taken(api: Api, taker: Taker, name: str, given: Any) -> bool:
    answer = await taker.send(api, {name: given})
    if answer.status >= 400:
        assert answer.error == (400, "validation", name)
        return False
    assert agrees((await changed(api, answer))[name], given)
    assert NOT_APPLIED not in answer.headers
    return True


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
async def test_what_a_running_server_does_not_take_is_named(api: Api, subtests: pytest.Subtests):
    """Each field of it and of its drives changes, is named in the header, or is refused."""
    samples = Samples(api)
    drive = await api.drive()
    server = await api.server(drive)
    await api.post(f"/servers/{server}/action/?do=start")
    for kind, fields in (await writable_fields(api)).items():
        uuid = {"drives": drive, "servers": server}.get(kind)
        for name, field in fields.items() if uuid else ():
            with subtests.test(kind=kind, field=name):
                given = await samples.of(kind, name, field)
                answer = await api.put(f"/{kind}/{uuid}/", {name: given})
                assert answer.status == 200
                named = answer.headers.get(NOT_APPLIED, "").split(", ")
                assert (name in named) is not agrees(answer.json[name], given)


# Tags


async def test_tags_are_given_at_once_or_refused(api: Api, subtests: pytest.Subtests):
    """An unknown one with 400, and then nothing of the request is recorded.

    A cloned server has its source's tags unless others are given; a cloned drive has only these.
    """
    for taker in TAKERS:
        if taker.kind in ("drives", "servers"):
            with subtests.test(by=taker.operation):
                path = f"/{taker.kind}/?limit=0&name=new"
                answer = await taker.send(api, {"name": "new", "tags": [UNKNOWN]})
                assert answer.error == (400, "validation", "tags")
                assert await listed(api, path) == []
    tags = [
        (await api.post("/tags/", {"name": name})).json["objects"][0]["uuid"] for name in ("a", "b")
    ]
    server, drive = await api.server(tags=tags[:1]), await api.drive(tags=tags[:1])
    for kind, uuid, said, expected in (
        ("servers", server, {}, tags[:1]),
        ("servers", server, {"tags": tags[1:]}, tags[1:]),
        ("servers", server, {"tags": []}, []),
        ("drives", drive, {}, []),
        ("drives", drive, {"tags": tags}, tags),
    ):
        answer = await api.post(f"/{kind}/{uuid}/action/?do=clone", said)
        found = await changed(api, answer)
        assert [tag["uuid"] for tag in found["tags"]] == expected


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
async def test_what_a_cloned_server_is_made_of_cannot_be_given(api: Api):
    """Its drives and cards come from the source; a password is given or random, not both."""
    server = await api.server()
    for said, point in (
        ({"drives": []}, "drives"),
        ({"nics": []}, "nics"),
        ({"vnc_password": "spoon", "random_vnc_password": True}, "vnc_password"),
    ):
        answer = await api.post(f"/servers/{server}/action/?do=clone", said)
        assert answer.error == (400, "validation", point)
