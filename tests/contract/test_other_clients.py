"""What programs of others send, one request after the other without a pause: CONTRACT.md 1 to 5."""

from decimal import Decimal

import pytest

from tests.api.calling import Api
from tests.contract.following import Json, shown
from tests.support.wait import wait_until

GIB = 1024**3
RESIZES = 4


async def sent(api: Api, method: str, path: str, body: Json | None = None, *, status: int) -> Json:
    answer = await api.call(method, path, json=body)
    assert answer.status == status, answer.body
    found: Json = answer.json if answer.body else {}
    return found


async def act(api: Api, kind: str, uuid: str, action: str, body: Json | None = None) -> Json:
    return await sent(api, "POST", f"/{kind}/{uuid}/action/?do={action}", body, status=202)


async def has_status(api: Api, kind: str, uuid: str, status: str) -> None:
    async def look() -> bool:
        return bool((await shown(api, f"/{kind}/{uuid}/"))["status"] == status)

    await wait_until(f"{kind} {uuid} is {status}", look)


async def an_infrastructure_tool(live: Api) -> None:
    """It stops a server, resizes it and its disk, and starts it, without a pause."""
    drive = await live.drive(size=GIB)
    server = await live.server(drive, cpu=2000)
    await act(live, "servers", server, "start", {})
    for number in range(1, RESIZES + 1):
        size = (1 + number) * GIB
        await act(live, "servers", server, "stop", {})
        body = {"name": "root", "media": "disk", "size": size}
        resized = await act(live, "drives", drive, "resize", body)
        assert resized["objects"][0]["uuid"] == drive
        whole = await shown(live, f"/servers/{server}/")
        edited = {**whole, "cpu": 2000 + number}
        await sent(live, "PUT", f"/servers/{server}/", edited, status=200)
        await act(live, "servers", server, "start")
        assert (await shown(live, f"/servers/{server}/"))["status"] == "running"
        assert (await shown(live, f"/drives/{drive}/"))["size"] == size


async def a_cluster_provider(live: Api) -> None:
    """It clones an image, makes a tagged server of the copy, and starts it when that is there."""
    image = await live.drive(name="image")
    tag = (await sent(live, "POST", "/tags/", {"name": "cluster"}, status=201))["objects"][0]
    said = {"name": "node-0", "size": 2 * GIB, "media": "disk", "tags": [{"uuid": tag["uuid"]}]}
    drive = (await act(live, "drives", image, "clone", said))["objects"][0]["uuid"]
    body = {
        "name": "node-0",
        "cpu": 2000,
        "mem": 2 * GIB,
        "vnc_password": "cluster",
        "tags": [tag["uuid"]],
        "meta": {"base64_fields": "cloudinit-user-data", "cloudinit-user-data": "I2Nsb3Vk"},
        "drives": [
            {"boot_order": 1, "dev_channel": "0:0", "device": "virtio", "drive": {"uuid": drive}}
        ],
        "nics": [{"ip_v4_conf": {"conf": "dhcp"}, "model": "virtio"}],
    }
    made = await sent(live, "POST", "/servers/", {"objects": [body]}, status=201)
    server = made["objects"][0]["uuid"]
    await has_status(live, "drives", drive, "mounted")
    await act(live, "servers", server, "start", {})
    found = await shown(live, f"/servers/detail/?tag={tag['uuid']}&limit=0")
    assert [(each["uuid"], each["status"]) for each in found["objects"]] == [(server, "running")]
    members = (await shown(live, f"/tags/{tag['uuid']}/"))["resources"]
    assert {each["uuid"] for each in members} == {server, drive}
    await act(live, "servers", server, "stop", {})
    await sent(live, "DELETE", f"/servers/{server}/?recurse=all_drives", status=204)
    assert (await shown(live, f"/tags/{tag['uuid']}/"))["resources"] == []


async def a_volume_driver(live: Api) -> None:
    """It makes a volume, finds it by name, attaches it by a whole PUT, grows and detaches it."""
    server = await live.server(await live.drive(name="root"))
    said = {"name": "pvc-1", "media": "disk", "size": GIB, "meta": {"csi": "pvc-1"}}
    await sent(live, "POST", "/drives/", said, status=201)
    (volume,) = (await shown(live, "/drives/detail/?name=pvc-1&limit=0"))["objects"]
    whole = await shown(live, f"/servers/{server}/")
    mount = {"dev_channel": "0:1", "device": "virtio", "drive": volume["uuid"]}
    attached = {**whole, "drives": [*whole["drives"], mount]}
    shows = await sent(live, "PUT", f"/servers/{server}/", attached, status=200)
    assert [each["drive"]["uuid"] for each in shows["drives"]][1] == volume["uuid"]
    await act(live, "servers", server, "start")
    refused = await live.post(f"/drives/{volume['uuid']}/action/?do=resize", {"size": 2 * GIB})
    assert (refused.status, refused.headers["X-Ledger-Refusal"]) == (403, "state")
    await act(live, "servers", server, "shutdown")
    await act(live, "drives", volume["uuid"], "resize", {"size": 2 * GIB})
    detached = {**shows, "drives": whole["drives"]}
    await sent(live, "PUT", f"/servers/{server}/", detached, status=200)
    await has_status(live, "drives", volume["uuid"], "unmounted")
    assert (await shown(live, f"/drives/{volume['uuid']}/"))["size"] == 2 * GIB
    await sent(live, "DELETE", f"/drives/{volume['uuid']}/", status=204)


async def an_inventory(live: Api) -> None:
    """It lists everything by name, and adds up what that costs: nothing."""
    for name in ("db-b", "DB-C", "db-a"):
        await live.server(name=name)
    query = "name__icontains=db-&order_by=-name"
    page = await shown(live, f"/servers/?{query}&limit=2&fields=name,status")
    assert page["objects"] == [{"name": name, "status": "stopped"} for name in ("db-b", "db-a")]
    assert page["meta"]["total_count"] == 3
    pricing = await shown(live, "/pricing/?limit=0")
    usage = await shown(live, "/currentusage/?limit=0")
    level = pricing["current"]
    costs = [
        Decimal(price["price"]) * usage["usage"][price["resource"]]["using"] / price["multiplier"]
        for price in pricing["objects"]
        if price["level"] == level[price["resource"]]
    ]
    assert len(costs) == len(usage["usage"])
    assert sum(costs) == 0
    assert Decimal((await shown(live, "/balance/?limit=0"))["balance"]) == 0


async def test_other_clients_get_what_they_need(live: Api, subtests: pytest.Subtests):
    """Each sends its requests without a pause, and none of them is refused by chance."""
    for client in (an_infrastructure_tool, a_cluster_provider, a_volume_driver, an_inventory):
        with subtests.test(client.__name__):
            await client(live)
