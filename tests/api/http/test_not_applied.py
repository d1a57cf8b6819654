"""`X-Ledger-Not-Applied`: a success that ignores something says what."""

from typing import Any

import pytest

from api.http.not_applied import NAMED_MAX, NOT_APPLIED
from ledger.store.seam import Cursor
from ledger.store.tables import accounts
from tests.api.calling import ALICE, DRIVE, KEYPAIR, PUBLIC_KEY, SERVER, SIZE, Answer, Api

OTHER = {"media": "cdrom", "size": 2 * SIZE, "affinities": ["ssd"], "storage_type": "zadara"}


def ignored(answer: Answer) -> set[str]:
    assert answer.status < 400, answer.body
    told = answer.headers.get(NOT_APPLIED)
    return set() if told is None else set(told.split(", "))


@pytest.fixture
async def api(api: Api) -> Api:
    """A service that has the account of its callers, and so their profile."""

    def add(cursor: Cursor) -> None:
        accounts.add(
            cursor,
            uuid=ALICE.uuid,
            email=ALICE.email,
            role=ALICE.role,
            password_hash="",
            created=api.service.now(),
        )

    await api.service.ledger.write(add)
    return api


async def running_server(api: Api) -> tuple[str, str]:
    """A running server, and a drive of it."""
    drive = await api.drive()
    server = await api.server(drive, nics=[{"ip_v4_conf": {"conf": "dhcp"}}])
    assert (await api.post(f"/servers/{server}/action/?do=start")).status == 202
    return server, drive


async def test_a_drive_of_a_running_server(api: Api) -> None:
    """What it keeps is named, alone and among several; what it takes, or has, is not."""
    _, drive = await running_server(api)
    free = await api.drive()
    path = f"/drives/{drive}/"
    assert ignored(await api.put(path, {"name": "oak", **OTHER})) == set(OTHER)
    assert ignored(await api.put(path, {"name": "oak", "media": "disk", "size": SIZE})) == set()
    edits = [{"uuid": uuid, "name": "fir", "media": "cdrom"} for uuid in (free, drive)]
    assert ignored(await api.put("/drives/", edits)) == {"media"}
    assert ignored(await api.put(f"/drives/{free}/", {"size": 2 * SIZE})) == set()
    assert ignored(await api.post("/servers/", SERVER)) == set()


async def test_a_running_server(api: Api) -> None:
    """The same once it is stopped is taken whole."""
    server, drive = await running_server(api)
    said: dict[str, Any] = {
        "cpu": 2000,
        "vnc_password": "fork",
        "nics": [],
        "drives": [{"drive": drive, "device": "ide", "dev_channel": "0:0"}],
    }
    path, named = f"/servers/{server}/", {"name": "oak", "meta": {"a": "b"}}
    assert ignored(await api.put(path, {**named, **said})) == set(said)
    assert ignored(await api.put("/servers/", [{"uuid": server, **said}])) == set(said)
    assert (await api.post(f"/servers/{server}/action/?do=stop")).status == 202
    assert ignored(await api.put(path, {**named, **said})) == set()


async def test_what_is_shown_can_be_sent_back(api: Api) -> None:
    """Nothing is ignored of it: it is as it was."""
    server, drive = await running_server(api)
    tag = (await api.post("/tags/", {"name": "oak", "resources": [drive]})).json["objects"][0]
    keypair = await api.keypair()
    for path in (
        f"/servers/{server}/",
        f"/drives/{drive}/",
        f"/tags/{tag['uuid']}/",
        f"/keypairs/{keypair}/",
        "/profile/",
    ):
        shown = await api.get(path)
        assert ignored(await api.put(path, shown.json)) == set(), path


async def test_fields_that_nobody_knows(api: Api) -> None:
    """Wherever they are sent, also to actions without fields; a null one is none."""
    drive, server = await api.drive(), await api.server()
    unknown = {"colour": "red", "shape": None}
    for path, body in (
        ("/drives/", DRIVE),
        ("/servers/", SERVER),
        ("/tags/", {"name": "oak"}),
        ("/keypairs/", KEYPAIR),
        (f"/drives/{drive}/action/?do=clone", {}),
        (f"/servers/{server}/action/?do=clone", {}),
        (f"/servers/{server}/action/?do=start", {}),
        (f"/jobs/{await api.job()}/action/?do=cancel", {}),
    ):
        assert ignored(await api.post(path, {**body, **unknown})) == {"colour"}, path
    for path in (f"/drives/{drive}/", f"/servers/{server}/", "/profile/"):
        assert ignored(await api.put(path, unknown)) == {"colour"}, path
    refused = await api.post("/drives/", unknown)
    assert (refused.status, refused.headers.get(NOT_APPLIED)) == (400, None)


async def test_a_fixed_field_of_a_profile(api: Api) -> None:
    """An account cannot change its email by it, and learns that it has not."""
    assert ignored(await api.put("/profile/", {"email": "new@test", "town": "Ulm"})) == {"email"}


@pytest.mark.parametrize("name", ["a\r\nb: c", "é", "a, b", ""])
async def test_names_that_no_header_can_carry(api: Api, name: str) -> None:
    """And too many of them."""
    many = {f"f{number}": 1 for number in range(NAMED_MAX + 1)}
    assert ignored(await api.post("/tags/", {"name": "oak", name: 1, "b": 2})) == {"b", "..."}
    told = ignored(await api.post("/tags/", {"name": "oak", **many}))
    assert told == {*list(many)[:NAMED_MAX], "..."}


async def test_a_key_that_is_known_already(api: Api) -> None:
    """An edit of a keypair sends its key along, and is told if it cannot be changed to it."""
    keypair = await api.keypair()
    answer = await api.put(f"/keypairs/{keypair}/", {"public_key": PUBLIC_KEY, "name": "b"})
    assert ignored(answer) == set()
