"""`/servers/`: tests/contract/CONTRACT.md 2.8, 3.3 and 3.4."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from api.resources.servers.representation import represent_server
from ledger.domain.events.servers import Address, IpConf, Nic
from projections.views.read_models import ServerView
from tests.api.calling import ALICE, SERVER, UNKNOWN, Api
from tests.harness.cases import in_turn
from tests.support.world import machine

VLAN = "e584e66b-ee33-4fe0-a6a0-1f1e396e39a1"


async def clone(api: Api, server: str, body: Any = None) -> dict[str, Any]:
    answer = await api.post(f"/servers/{server}/action/?do=clone", body)
    assert answer.status == 202, answer.body
    shown: dict[str, Any] = answer.json
    return shown


# Create


async def test_a_new_server_is_stopped(api: Api):
    """A server is stopped at once and has the documented defaults."""
    answer = await api.post("/servers/", {"objects": [SERVER]})
    assert answer.status == 201
    (server,) = answer.json["objects"]
    assert {**server, **SERVER} == server
    assert (server["status"], server["smp"], server["runtime"]) == ("stopped", 1, None)
    assert (server["cpu_type"], server["hypervisor"], server["context"]) == ("amd", "kvm", True)
    assert answer.headers["Location"] == server["resource_uri"]
    assert (await api.get(server["resource_uri"])).json == server


@in_turn(("cpu", "smp"), [(250, 1), (3000, 1), (3001, 2), (40_000, 14), (96_000, 32)])
async def test_smp_is_derived_from_cpu(api: Api, cpu: int, smp: int):
    """Without smp it is as small as 3000 MHz for each allows."""
    server = (await api.post("/servers/", {**SERVER, "cpu": cpu})).json["objects"][0]
    assert server["smp"] == smp


async def test_create_keeps_all_given_fields(api: Api):
    """Every property that can be given is shown again."""
    said = {
        "name": "",
        "smp": 2,
        "cpu": "4000",
        "cpu_model": "kvm64",
        "auto_start": True,
        "context": False,
        "cpus_instead_of_cores": True,
        "enable_numa": True,
        "hv_relaxed": True,
        "hv_tsc": True,
        "meta": {"description": "x" * 60_000},
        "requirements": ["ssd"],
        "epcs": [{"size": 16}],
        "gpus": [{"model": "a", "count": 1}],
    }
    server = (await api.post("/servers/", {**SERVER, **said, "uuid": UNKNOWN})).json["objects"][0]
    assert {key: server[key] for key in said} == {**said, "cpu": 4000}
    assert server["uuid"] != UNKNOWN


async def test_drives_are_sorted_by_device_and_channel(api: Api):
    """A server's drives are shown by device, controller and unit, in any form of reference."""
    first, second, third = [await api.drive() for _ in range(3)]
    mounts = [
        {"device": "virtio", "dev_channel": "10:0", "drive": first, "boot_order": 1},
        {"device": "virtio", "dev_channel": "2:5", "drive": {"uuid": second}},
        {
            "device": "ide",
            "dev_channel": "0:1",
            "drive": {"uuid": third, "resource_uri": "/api/2.0/drives/x/"},
        },
    ]
    uuid = await api.server(drives=mounts)
    server = (await api.get(f"/servers/{uuid}/")).json
    assert [mount["drive"]["uuid"] for mount in server["drives"]] == [third, second, first]
    assert (await api.get("/servers/detail/")).json["objects"] == [server]


async def test_attaching_mounts_a_drive(api: Api):
    """An attached drive is mounted and names its server, which is stopped."""
    drive = await api.drive()
    server = await api.server(drive)
    shown = (await api.get(f"/drives/{drive}/")).json
    assert shown["status"] == "mounted"
    assert [mounter["uuid"] for mounter in shown["mounted_on"]] == [server]


async def test_a_disk_is_attached_once(api: Api):
    """A disk that a server mounts cannot be attached to another: 403; a cdrom can."""
    disk, cdrom = await api.drive(), await api.drive(media="cdrom")
    await api.server(disk)
    await api.server(cdrom)
    await api.server(cdrom)
    mounts = [{"device": "virtio", "dev_channel": "0:0", "drive": disk}]
    answer = await api.post("/servers/", {**SERVER, "drives": mounts})
    assert answer.error == (403, "permission", "drives")


async def test_attaching_an_unknown_drive(api: Api):
    """A drive that is not there cannot be attached: 404."""
    mounts = [{"device": "virtio", "dev_channel": "0:0", "drive": UNKNOWN}]
    answer = await api.post("/servers/", {**SERVER, "drives": mounts})
    assert answer.error[:2] == (404, "notexist")


async def test_macs_are_drawn_or_kept(api: Api):
    """A mac that is given is kept, in lower case; else one is drawn."""
    uuid = await api.server(nics=[{"mac": "22:AA:01:02:03:04"}, {"mac": None}, {}])
    nics = (await api.get(f"/servers/{uuid}/")).json["nics"]
    macs = [nic["mac"] for nic in nics]
    assert macs[0] == "22:aa:01:02:03:04"
    assert len(set(macs)) == 3
    assert all(re.fullmatch(r"22(:[0-9a-f]{2}){5}", mac) for mac in macs)


# Clone


async def test_a_server_clone_has_its_drives_at_once(api: Api):
    """The answer has the new drives at the same places, and one job with a child for each disk."""
    disk, cdrom = await api.drive(), await api.drive(media="cdrom")
    server = await api.server(disk, cdrom, meta={"a": "b"}, cpu=2000)
    source = (await api.get(f"/servers/{server}/")).json
    copy = await clone(api, server, {"name": "birch two"})
    assert (copy["status"], copy["name"], copy["cpu"]) == ("stopped", "birch two", 2000)
    assert copy["meta"] == {"a": "b"}
    places = [(mount["device"], mount["dev_channel"]) for mount in copy["drives"]]
    assert places == [(mount["device"], mount["dev_channel"]) for mount in source["drives"]]
    new_disk, same_cdrom = [mount["drive"]["uuid"] for mount in copy["drives"]]
    assert new_disk != disk
    assert same_cdrom == cdrom
    (job,) = copy["jobs"]
    children = (await api.get(job["resource_uri"])).json["children"]
    shown = (await api.get(f"/drives/{new_disk}/")).json
    assert [named["uuid"] for named in shown["jobs"]] == [child["uuid"] for child in children]
    assert shown["status"] == "cloning_dst"
    assert [mounter["uuid"] for mounter in shown["mounted_on"]] == [copy["uuid"]]
    assert len((await api.get(f"/drives/{cdrom}/")).json["mounted_on"]) == 2


async def test_a_cloned_disk_is_mounted_when_done(api: Api):
    """A server clone's disk goes from cloning_dst to mounted."""
    copy = await clone(api, await api.server(await api.drive()))
    job = (await api.get(copy["jobs"][0]["resource_uri"])).json
    await api.succeed(job["children"][0]["uuid"])
    shown = (await api.get(copy["drives"][0]["drive"]["resource_uri"])).json
    assert shown["status"] == "mounted"


async def test_a_clones_nics_are_new(api: Api):
    """Each nic has a mac of its own, and its addresses by DHCP; a vlan stays."""
    nics = [{"ip_v4_conf": {"conf": "static", "ip": {"uuid": "192.0.2.17"}}}, {"vlan": VLAN}]
    server = await api.server(nics=nics)
    before = (await api.get(f"/servers/{server}/")).json["nics"]
    after = (await clone(api, server))["nics"]
    assert before[0]["ip_v4_conf"]["ip"] == {
        "resource_uri": "/api/2.0/ips/192.0.2.17/",
        "uuid": "192.0.2.17",
    }
    assert after[0]["ip_v4_conf"] == {"conf": "dhcp", "ip": None}
    assert after[1]["vlan"]["uuid"] == VLAN
    assert not {nic["mac"] for nic in before} & {nic["mac"] for nic in after}


@in_turn(
    ("body", "same"),
    [
        (None, True),
        ({"name": None, "random_vnc_password": None}, True),
        ({"random_vnc_password": False}, True),
        ({"random_vnc_password": True}, False),
    ],
)
async def test_the_vnc_password_of_a_clone(api: Api, body: Any, *, same: bool):
    """The source's password is kept unless a random one is asked for."""
    copy = await clone(api, await api.server(), body)
    assert copy["vnc_password"]
    assert (copy["vnc_password"] == SERVER["vnc_password"]) is same
    assert copy["name"] == SERVER["name"]


async def test_a_clone_without_disks_locks_nothing(api: Api):
    """Without disks the job is over at once, and source and clone can be deleted."""
    server = await api.server()
    copy = await clone(api, server)
    job = (await api.get(copy["jobs"][0]["resource_uri"])).json
    assert (job["operation"], job["state"]) == ("server_clone", "success")
    assert (job["data"], job["children"]) == ({"progress": 100}, [])
    assert job["resources"] == sorted(f"/api/2.0/servers/{s}/" for s in (server, copy["uuid"]))
    body = {"objects": [{"uuid": server}, {"uuid": copy["uuid"]}]}
    assert (await api.delete("/servers/", body)).status == 204


# Addresses


async def test_a_server_that_an_earlier_version_started(api: Api, monkeypatch: pytest.MonkeyPatch):
    """It shows null and no address is listed until it is restarted: none was recorded."""
    server = await api.server(nics=[{"mac": "22:00:00:00:00:09", "ip_v4_conf": {"conf": "dhcp"}}])

    async def address(action: str) -> Any:
        assert (await api.post(f"/servers/{server}/action/?do={action}")).status == 202
        (nic,) = (await api.get(f"/servers/{server}/runtime/")).json["nics"]
        in_use = [each["uuid"] for each in (await api.get("/ips/")).json["objects"]]
        assert in_use == ([] if nic["ip_v4"] is None else [nic["ip_v4"]["uuid"]])
        return nic["ip_v4"]

    with monkeypatch.context() as earlier:
        earlier.setattr("ledger.domain.decisions.power.start_addresses", lambda *_: ())
        assert await address("start") is None
    assert (await address("restart"))["uuid"] == "10.0.0.9"


# Delete


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("", {"disk", "cdrom"}),
        ("?recurse=disks", {"cdrom"}),
        ("?recurse=cdroms", {"disk"}),
        ("?recurse=all_drives", set()),
    ],
)
async def test_delete_recurses_as_asked(api: Api, query: str, left: set[str]):
    """`recurse` says which of the attached drives go with the server; the others are free."""
    server = await api.server(await api.drive(), await api.drive(media="cdrom"))
    assert (await api.delete(f"/servers/{server}/{query}")).status == 204
    assert (await api.get(f"/servers/{server}/")).status == 404
    drives = (await api.get("/drives/detail/")).json["objects"]
    assert {drive["media"] for drive in drives} == left
    assert {drive["status"] for drive in drives} <= {"unmounted"}


async def test_an_unknown_recurse_deletes_nothing(api: Api):
    """A `recurse` that is none of the three is a 400."""
    server = await api.server()
    answer = await api.delete(f"/servers/{server}/?recurse=everything")
    assert answer.error == (400, "validation", "recurse")
    assert (await api.get(f"/servers/{server}/")).status == 200


async def test_a_shared_cdrom_is_deleted_with_one_server(api: Api):
    """Deleting one server with all its drives deletes a cdrom that another mounts too."""
    cdrom = await api.drive(media="cdrom")
    first, second = await api.server(cdrom), await api.server(cdrom)
    assert (await api.delete(f"/servers/{first}/?recurse=all_drives")).status == 204
    assert (await api.get(f"/drives/{cdrom}/")).status == 404
    assert (await api.get(f"/servers/{second}/")).json["drives"] == []


async def test_a_server_that_is_being_cloned_is_not_deleted(api: Api):
    """While the job runs neither server can be deleted: 403."""
    server = await api.server(await api.drive())
    copy = await clone(api, server)
    for uuid in (server, copy["uuid"]):
        assert (await api.delete(f"/servers/{uuid}/")).error == (403, "permission", None)


class Looked(tuple[Address, ...]):
    """Counts how often somebody goes through it."""

    __slots__ = ()
    times = 0

    def __iter__(self) -> Iterator[Address]:
        type(self).times += 1
        return super().__iter__()


def test_addresses_are_looked_at_once_for_all_cards() -> None:
    """A server of a thousand cards is shown in the event loop, where all others wait meanwhile."""
    macs = [f"22:00:00:00:00:{nth:02x}" for nth in range(20)]
    nics = tuple(Nic(mac, ip_v4_conf=IpConf("dhcp")) for mac in macs)
    given = Looked(Address(mac, f"10.0.0.{nth}", "10.0.0.0/8") for nth, mac in enumerate(macs))
    server = ServerView(
        *("s", ALICE.uuid, machine(), (), nics, given, "main", "2026-01-02T03:04:05+00:00"),
        *([], [], "x"),
    )
    Looked.times = 0
    shown = represent_server(server)
    assert Looked.times == 1
    cards = [nic.runtime and nic.runtime.ip_v4 for nic in shown.nics]
    assert [ip and ip.uuid for ip in cards] == [f"10.0.0.{nth}" for nth in range(20)]
