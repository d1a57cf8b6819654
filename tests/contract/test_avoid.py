"""Keeping things apart with `?avoid=`: tests/contract/CONTRACT.md 2.6.

Seen through the availability groups.
"""

from collections.abc import Iterable
from typing import Any

from tests.api.calling import BOB, DRIVE, SERVER, UNKNOWN, Api
from tests.contract.following import shown
from tests.harness.cases import in_turn

COLD = {"storage_type": "zadara", "size": 1024**3}
"""The storage type that one pool has; its drives have a GiB at the least."""


async def created(api: Api, avoid: str = "", **said: Any) -> str:
    """A new drive, which need not be ready."""
    answer = await api.post(f"/drives/?avoid={avoid}", {**DRIVE, **said})
    assert answer.status == 201, answer.body
    return str(answer.json["objects"][0]["uuid"])


async def cloned(api: Api, source: str, avoid: str) -> str:
    answer = await api.post(f"/drives/{source}/action/?do=clone&avoid={avoid}")
    assert answer.status == 202, answer.body
    return str(answer.json["objects"][0]["uuid"])


async def are_together(api: Api, first: str, second: str) -> bool:
    """Whether two drives lie in one pool."""
    group = (await api.get(f"/drives/availability_groups/{first}/")).json
    assert first in group
    return second in group


async def in_both_pools(api: Api) -> tuple[str, str]:
    """Two ready drives, each in a pool of its own."""
    first = await api.drive()
    second = await created(api, avoid=first)
    assert not await are_together(api, first, second)
    return first, second


# Drives


async def test_a_new_drive_keeps_apart(api: Api):
    """A drive is created in another pool than the drive it is to avoid, whichever that is in."""
    for avoided in await in_both_pools(api):
        assert not await are_together(api, await created(api, avoid=avoided), avoided)


async def test_all_drives_of_a_request_keep_apart(api: Api):
    """`avoid` holds for every object of a bulk create."""
    avoided = await api.drive()
    answer = await api.post(f"/drives/?avoid={avoided}", [DRIVE] * 3)
    for drive in answer.json["objects"]:
        assert not await are_together(api, drive["uuid"], avoided)


async def test_a_clone_keeps_apart(api: Api):
    """A clone avoids any drive, its own source too, though it would be placed beside that."""
    source = await api.drive()
    assert await are_together(api, await cloned(api, source, avoid=""), source)
    assert not await are_together(api, await cloned(api, source, avoid=source), source)


async def test_the_leftmost_is_avoided_first(api: Api):
    """If not all can be avoided the first is; escaped commas and repetition do not matter."""
    for joined in (",", "%2C", "&avoid=", ",%20"):
        first, second = await in_both_pools(api)
        for left, right in ((first, second), (second, first)):
            drive = await created(api, avoid=f"{left}{joined}{right}")
            assert not await are_together(api, drive, left)
            assert await are_together(api, drive, right)


async def test_a_server_stands_for_all_its_drives(api: Api):
    """Where no pool is free of a server's drives, the one with fewer of them is chosen."""
    first, second = await in_both_pools(api)
    third = await cloned(api, first, avoid="")
    server = await api.server(first, second, third)
    assert await are_together(api, await created(api, avoid=server), second)


async def test_a_drive_named_before_its_server_weighs_more(api: Api):
    """A drive before its server has the priority, over a majority of the server's drives."""
    first, second = await in_both_pools(api)
    third = await cloned(api, first, avoid="")
    server = await api.server(first, second, third)
    drive = await created(api, avoid=f"{second},{server}")
    assert not await are_together(api, drive, second)


async def test_a_server_may_avoid_itself(api: Api):
    """A server clone that avoids its source has its disks on other storage."""
    disk = await api.drive()
    server = await api.server(disk)
    for avoid, together in ((server, False), ("", True)):
        path = f"/servers/{server}/action/?avoid={avoid}&do=clone"
        (mount,) = (await api.post(path)).json["drives"]
        assert await are_together(api, mount["drive"]["uuid"], disk) is together


async def test_avoiding_never_fails(api: Api):
    """Where there is one pool only, what is to be avoided in it is not, and all goes well."""
    first = await api.drive(**COLD)
    second = await created(api, avoid=first, **COLD)
    third = await cloned(api, first, avoid=f"{first},{second}")
    assert sorted(await shown_group(api, first)) == sorted((first, second, third))


async def shown_group(api: Api, uuid: str) -> list[str]:
    return [str(each) for each in (await api.get(f"/drives/availability_groups/{uuid}/")).json]


@in_turn("avoid", ["", ",", UNKNOWN, f"{UNKNOWN},", UNKNOWN.upper()])
async def test_what_is_unknown_is_avoided_already(api: Api, avoid: str):
    """Unknown uuids, and none at all, are passed over."""
    source = await api.drive()
    server = await api.server(source)
    assert await created(api, avoid=avoid)
    assert await cloned(api, source, avoid=avoid)
    for action in ("clone", "start"):
        path = f"/servers/{await api.server()}/action/?do={action}&avoid={avoid}"
        assert (await api.post(path)).status == 202
    assert (await shown(api, f"/servers/{server}/"))["status"] == "stopped"


async def test_anothers_drives_are_unknown(api: Api):
    """Naming another account's drive tells nothing about where it lies."""
    mine, _ = await in_both_pools(api)
    foreign = [await api.drive(by=BOB) for _ in range(4)]
    for drive in foreign:
        assert await are_together(api, await cloned(api, mine, avoid=drive), mine)


async def test_what_is_no_uuid_is_refused(api: Api):
    """What is no uuid is a 400 for `avoid`, and nothing is done."""
    source = await api.drive()
    server = await api.server(source)
    for avoid in ("nonsense", f"{UNKNOWN};{UNKNOWN}", UNKNOWN[:-1], "%00", "%FF"):
        for path, body in (
            (f"/drives/?avoid={UNKNOWN},{avoid}", DRIVE),
            (f"/drives/{source}/action/?do=clone&avoid={avoid}", None),
            (f"/servers/{server}/action/?do=clone&avoid={avoid}", None),
            (f"/servers/{server}/action/?do=start&avoid={avoid}", None),
        ):
            assert (await api.post(path, body)).error == (400, "validation", "avoid"), path
    for kind in ("drives", "servers"):
        assert (await shown(api, f"/{kind}/"))["meta"]["total_count"] == 1
    assert (await shown(api, f"/servers/{server}/"))["status"] == "stopped"


# Servers


async def started(api: Api, avoid: str = "") -> str:
    (server,) = (await api.post("/servers/", SERVER)).json["objects"]
    path = f"/servers/{server['uuid']}/action/?do=start&avoid={avoid}"
    assert (await api.post(path)).status == 202
    return str(server["uuid"])


async def on_one_host(api: Api, servers: Iterable[str], server: str) -> bool:
    group = (await api.get(f"/servers/availability_groups/{server}/")).json
    return set(servers) <= set(group)


async def test_a_started_server_keeps_apart(api: Api):
    """A server starts on another host than the running one that it is to avoid."""
    first = await started(api)
    for _ in range(4):
        second = await started(api, avoid=first)
        assert not await on_one_host(api, [first], second)


async def test_the_leftmost_server_is_avoided_first(api: Api):
    """Of two that cannot both be avoided the first is."""
    first = await started(api)
    second = await started(api, avoid=first)
    for left, right in ((first, second), (second, first)):
        third = await started(api, avoid=f"{left},{right}")
        assert await on_one_host(api, [right], third)


async def test_a_stopped_server_is_nowhere(api: Api):
    """What does not run is on no host, so it outweighs nothing that does."""
    running = await started(api)
    stopped = await api.server()
    for _ in range(4):
        server = await started(api, avoid=f"{stopped},{running}")
        assert not await on_one_host(api, [running], server)
