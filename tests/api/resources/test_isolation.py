"""Isolation of accounts: what belongs to another account looks as if it did not exist.

tests/contract/CONTRACT.md 7, row 27.
"""

import json
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from api.text.urls import V1_ROOT
from tests.api.calling import ALICE, BOB, SERVER, UNKNOWN, Api

BODIES: dict[str, Any] = {
    "POST": {"name": "stolen", "size": 1024**4},
    "PUT": {"name": "stolen"},
    "DELETE": None,
    "GET": None,
    "HEAD": None,
}
ACTIONS = {
    "jobs": ("cancel",),
    "drives": ("clone", "resize"),
    "libdrives": ("clone",),
    "servers": ("clone", "start", "stop", "shutdown", "restart"),
}
OTHER_UNKNOWN = UNKNOWN.replace("5", "6")


def urls_with_uuid(app: web.Application) -> Iterator[tuple[str, str]]:
    """Every method and URL of the router that takes a uuid; `{uuid}` is where."""
    for route in app.router.routes():
        assert route.resource is not None
        path = route.resource.canonical
        if "{uuid}" in path and path.startswith("/api/2.0/"):
            kind = path.removeprefix("/api/2.0/").partition("/")[0]
            for suffix in [f"?do={do}" for do in ACTIONS[kind]] if "action" in path else [""]:
                yield route.method, path.replace("{kind}", "drives") + suffix


async def everything(api: Api) -> list[bytes]:
    """All that an account can see."""
    lists = (
        "/jobs/?limit=0",
        "/drives/detail/?limit=0",
        "/servers/detail/?limit=0",
        "/tags/?limit=0",
        "/keypairs/?limit=0",
        "/ips/detail/?limit=0",
    )
    return [(await api.get(path)).body for path in lists]


async def made(api: Api) -> dict[str, str]:
    """A job, a drive and a server of Alice's, all with relations; the uuids by kind."""
    drive = await api.drive(meta={"secret": "alice"})
    keypair = await api.keypair()
    nics = [{"ip_v4_conf": {"conf": "dhcp"}, "mac": "22:00:00:00:00:09"}]
    server = await api.server(drive, pubkeys=[keypair], nics=nics)
    assert (await api.post(f"/servers/{server}/action/?do=start")).status == 202
    _, job = await api.clone(drive)
    tag = await api.post("/tags/", {"name": "alice", "resources": [drive, server]})
    return {
        "jobs": job,
        "drives": drive,
        "servers": server,
        "tags": tag.json["objects"][0]["uuid"],
        "keypairs": keypair,
        "ips": "10.0.0.9",
    }


async def test_foreign_uuids_are_like_unknown_ones(api: Api):
    """On every URL, another account's uuid is answered like an unknown one, and does nothing."""
    theirs = await made(api)
    before = await everything(api)
    tried = 0
    for method, path in urls_with_uuid(api.client.server.app):
        is_v1 = path.startswith(V1_ROOT)
        for uuid in theirs.values():
            answers = []
            for asked in (uuid, UNKNOWN):
                url = path.replace("{uuid}", asked)
                body = {} if is_v1 else BODIES[method]
                answer = await api.call(method, url, json=body, by=BOB)
                answers.append((answer.status, answer.body.replace(asked.encode(), b"<uuid>")))
            assert answers[0] == answers[1], (method, path)
            assert answers[0][0] in ((400, 404) if is_v1 else (404,))
            tried += 1
    assert tried >= 3 * 2 * 8
    assert await everything(api) == before


async def test_foreign_uuids_in_bodies_are_like_unknown_ones(api: Api):
    """The same holds for uuids in bodies: bulk deletes, and drives and keypairs to attach."""
    theirs = await made(api)
    del theirs["ips"]
    before = await everything(api)
    for uuid in theirs.values():
        mount = {"device": "virtio", "dev_channel": "0:0", "drive": "<uuid>"}
        for method, path, body in (
            ("DELETE", "/drives/", {"objects": ["<uuid>"]}),
            ("DELETE", "/servers/", {"objects": [{"uuid": "<uuid>"}]}),
            ("DELETE", "/servers/?recurse=all_drives", ["<uuid>"]),
            ("POST", "/servers/", {**SERVER, "drives": [mount]}),
            ("POST", "/tags/", {"name": "bob", "resources": ["<uuid>"]}),
            ("POST", "/servers/", {**SERVER, "pubkeys": ["<uuid>"]}),
        ):
            answers = []
            for asked in (uuid, UNKNOWN, OTHER_UNKNOWN):
                given = json.loads(json.dumps(body).replace("<uuid>", asked))
                answer = await api.call(method, path, json=given, by=BOB)
                answers.append((answer.status, answer.body.replace(asked.encode(), b"<uuid>")))
            assert len(set(answers)) == 1, (method, path)
            assert answers[0][0] == (400 if "pubkeys" in body else 404)
    assert await everything(api) == before


async def test_lists_show_only_the_callers_own(api: Api):
    """Lists and their counts, read at once or streamed, hold nothing of another's."""
    await made(api)
    others = ("ips", "keypairs", "pubkeys", "logs", "libdrives")
    for kind in ("jobs", "drives", "servers", "tags", *others):
        for query in ("", "?limit=0", "?state=started", "?offset=1"):
            answer = (await api.get(f"/{kind}/{query}", by=BOB)).json
            assert (answer["objects"], answer["meta"]["total_count"]) == ([], 0)


async def test_the_owner_is_the_caller(api: Api):
    """What a request makes is its account's, whatever the body says."""
    said = {"owner": {"uuid": ALICE.uuid}}
    drive = await api.drive(by=BOB, **said)
    server = await api.server(drive, by=BOB, **said)
    for path in (f"/drives/{drive}/", f"/servers/{server}/"):
        assert (await api.get(path, by=BOB)).json["owner"]["uuid"] == BOB.uuid
        assert (await api.get(path)).status == 404
