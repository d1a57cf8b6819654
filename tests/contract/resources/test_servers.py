"""Changing, switching and deleting servers: tests/contract/CONTRACT.md 3.3 and 3.4."""

import re
from typing import Any

from tests.api.calling import BOB, SERVER, UNKNOWN, Api
from tests.contract.following import Json, listed, reference, shown
from tests.harness.cases import in_turn

VLAN = "e584e66b-ee33-4fe0-a6a0-1f1e396e39a1"
SWITCHES = ("start", "stop", "shutdown", "restart")


async def edit(api: Api, server: str, **said: Any) -> Json:
    answer = await api.put(f"/servers/{server}/", said)
    assert answer.status == 200, answer.body
    found: Json = answer.json
    return found


async def switch(api: Api, server: str, action: str, body: Any = None) -> None:
    answer = await api.post(f"/servers/{server}/action/?do={action}", body)
    assert answer.status == 202, answer.body


async def running(api: Api, *drives: str, **said: Any) -> str:
    server = await api.server(*drives, **said)
    await switch(api, server, "start")
    return server


def mount(drive: Any, channel: str = "0:0", device: str = "virtio") -> Json:
    return {"drive": drive, "device": device, "dev_channel": channel}


async def full_server(api: Api) -> str:
    """A server with something in every field."""
    disk, cdrom = await api.drive(), await api.drive(media="cdrom")
    server = await api.server(
        drives=[{**mount(disk), "boot_order": 1}, mount(cdrom, device="ide")],
        nics=[
            {"ip_v4_conf": {"conf": "static", "ip": {"uuid": "192.0.2.17"}}, "model": "e1000"},
            {"vlan": VLAN, "firewall_policy": UNKNOWN, "boot_order": 2},
        ],
        meta={"note": "first"},
        pubkeys=[await api.keypair()],
        requirements=["sgx"],
        gpus=[{"name": "a"}],
        epcs=[{"size": 5}],
    )
    await api.post("/tags/", {"name": "t", "resources": [server]})
    return server


# Edit


async def test_put_is_partial(api: Api):
    """Keys that are not given, or null, keep their value; the answer is the bare server."""
    server = await full_server(api)
    before = await shown(api, f"/servers/{server}/")
    nulls = dict.fromkeys(("cpu", "mem", "smp", "drives", "nics", "meta", "tags", "pubkeys"))
    assert await edit(api, server, name="oak", **nulls) == {**before, "name": "oak"}
    assert await shown(api, f"/servers/{server}/") == {**before, "name": "oak"}


@in_turn("field", ["drives", "nics", "meta", "tags", "pubkeys", "requirements", "gpus", "epcs"])
async def test_put_of_nothing_clears_a_list(api: Api, field: str):
    """`[]` (for meta `{}`) clears what it names and leaves all else."""
    server = await full_server(api)
    before = await shown(api, f"/servers/{server}/")
    empty: Any = {} if field == "meta" else []
    assert before[field] != empty
    assert await edit(api, server, **{field: empty}) == {**before, field: empty}


async def test_put_replaces_meta_whole(api: Api):
    """`meta` that is present replaces the old one."""
    server = await api.server(meta={"a": "1", "b": "2"})
    assert (await edit(api, server, meta={"b": "3"}))["meta"] == {"b": "3"}


@in_turn("started", [False, True])
async def test_put_takes_a_whole_server(api: Api, started: bool):  # noqa: FBT001
    """The answer of a GET sent back changes nothing, macs and passwords included."""
    server = await full_server(api)
    if started:
        await switch(api, server, "start")
    whole = await shown(api, f"/servers/{server}/")
    assert await edit(api, server, **whole, nonsense={"x": 1}) == whole
    assert await shown(api, f"/servers/{server}/") == whole


async def test_put_changes_what_is_given(api: Api):
    """Every property can be changed; the password too."""
    server = await api.server()
    before = await shown(api, f"/servers/{server}/")
    said = {
        "name": "",
        "cpu": 40_000,
        "mem": 2 * 1024**3,
        "smp": 20,
        "cpu_type": "intel",
        "cpu_model": "kvm64",
        "auto_start": True,
        "context": False,
        "cpus_instead_of_cores": True,
        "enable_numa": True,
        "hv_relaxed": True,
        "hv_tsc": True,
        "requirements": ["sgx"],
        "vnc_password": "abc",
    }
    assert await edit(api, server, **said) == {**before, **said}


async def test_put_attaches_and_detaches(api: Api):
    """The drives are those given, in any form of reference; the others become unmounted."""
    disk, second, cdrom = await api.drive(), await api.drive(), await api.drive(media="cdrom")
    server = await api.server(disk)
    drives = [mount(reference("drives", cdrom), "1:0", "ide"), mount({"uuid": second}, "0:3")]
    after = await edit(api, server, drives=drives)
    assert [(each["device"], each["dev_channel"]) for each in after["drives"]] == [
        ("ide", "1:0"),
        ("virtio", "0:3"),
    ]
    assert [each["drive"] for each in after["drives"]] == [
        reference("drives", cdrom),
        reference("drives", second),
    ]
    states = {each["uuid"]: each for each in (await shown(api, "/drives/detail/"))["objects"]}
    assert (states[disk]["status"], states[disk]["mounted_on"]) == ("unmounted", [])
    for drive in (second, cdrom):
        assert states[drive]["status"] == "mounted"
        assert states[drive]["mounted_on"] == [reference("servers", server)]


async def test_put_moves_drives_to_other_places(api: Api):
    """Drives that a server has already may change places with one another."""
    first, second = await api.drive(), await api.drive()
    server = await api.server(first, second)
    after = await edit(api, server, drives=[mount(second, "0:0"), mount(first, "0:1")])
    assert [each["drive"]["uuid"] for each in after["drives"]] == [second, first]


async def test_drives_are_shown_in_the_same_order_everywhere(api: Api):
    """Create, edit, GET and detail list show them by device, controller and unit."""
    ordered = ["ide 0:1", "ide 1:0", "virtio 2:0", "virtio 2:1", "virtio 10:0"]
    mounts = []
    for place in ("virtio 10:0", "virtio 2:1", "ide 1:0", "virtio 2:0", "ide 0:1"):
        device, channel = place.split()
        mounts.append(mount(await api.drive(), channel, device))
    (created,) = (await api.post("/servers/", {**SERVER, "drives": mounts})).json["objects"]
    edited = await edit(api, created["uuid"], drives=mounts[::-1])
    got = await shown(api, created["resource_uri"])
    (detail,) = (await shown(api, "/servers/detail/"))["objects"]
    for server in (created, edited, got, detail):
        found = [f"{each['device']} {each['dev_channel']}" for each in server["drives"]]
        assert found == ordered


async def test_a_disk_of_another_server_is_not_attached_by_put(api: Api):
    """A disk that another server mounts is a 403 and nothing changes; allow_multimount lets it."""
    disk = await api.drive()
    await api.server(disk)
    server = await api.server()
    body = {"name": "new", "drives": [mount(disk)]}
    assert (await api.put(f"/servers/{server}/", body)).error == (403, "permission", "drives")
    assert (await shown(api, f"/servers/{server}/"))["name"] == SERVER["name"]
    await api.put(f"/drives/{disk}/", {"allow_multimount": True})
    assert (await api.put(f"/servers/{server}/", body)).status == 200


async def test_put_keeps_given_macs_and_draws_others(api: Api):
    """A mac that is sent is kept; a nic without one gets a new one."""
    server = await api.server(nics=[{"ip_v4_conf": {"conf": "dhcp"}}, {"vlan": VLAN}])
    first, second = (await shown(api, f"/servers/{server}/"))["nics"]
    added = {"ip_v4_conf": {"conf": "dhcp"}, "mac": None}
    after = (await edit(api, server, nics=[second, added, first]))["nics"]
    assert (after[0], after[2]) == (second, first)
    assert after[1]["mac"] not in {first["mac"], second["mac"], None}


async def test_every_key_of_a_nic_is_present(api: Api):
    """An empty nic has all of its keys; model is virtio."""
    (nic,) = (await edit(api, await api.server(), nics=[{}]))["nics"]
    assert nic.pop("mac").startswith("22:")
    assert nic == {
        "boot_order": None,
        "firewall_policy": None,
        "ip_v4_conf": None,
        "ip_v6_conf": None,
        "model": "virtio",
        "runtime": None,
        "vlan": None,
    }


async def test_a_vlan_with_addresses_is_refused_by_put(api: Api):
    """A nic with a vlan and an ip configuration is a 400, as when it is created."""
    server = await api.server()
    nic = {"vlan": VLAN, "ip_v4_conf": {"conf": "dhcp"}}
    answer = await api.put(f"/servers/{server}/", {"nics": [nic]})
    assert answer.error == (400, "validation", "nics")


async def test_put_sets_tags_in_any_form(api: Api):
    """`tags` are uuids, objects or both at once; the answer has objects."""
    server = await api.server()
    tags = [(await api.post("/tags/", {"name": name})).json["objects"][0]["uuid"] for name in "abc"]
    mixed = [tags[0], {"uuid": tags[1]}, reference("tags", tags[2])]
    after = await edit(api, server, tags=mixed)
    assert after["tags"] == [reference("tags", tag) for tag in sorted(tags)]


async def test_a_running_server_changes_little(api: Api):
    """Name, meta and tags change; the rest is silently passed over."""
    disk = await api.drive()
    server = await running(api, disk, nics=[{}])
    before = await shown(api, f"/servers/{server}/")
    (tag,) = (await api.post("/tags/", {"name": "t"})).json["objects"]
    passed_over = {
        "cpu": 4000,
        "mem": 1024**3,
        "smp": 4,
        "drives": [],
        "nics": [],
        "vnc_password": "other",
        "auto_start": True,
        "pubkeys": [UNKNOWN],
    }
    said = {"name": "new", "meta": {"a": "b"}}
    after = await edit(api, server, **passed_over, **said, tags=[tag["uuid"]])
    assert after == {**before, **said, "tags": [reference("tags", tag["uuid"])]}
    assert (await shown(api, f"/drives/{disk}/"))["status"] == "mounted"


# Actions


@in_turn("body", [b"", b"{}", b"null", b'{"allocation_method": "auto"}'])
@in_turn("action", SWITCHES)
async def test_the_answer_of_an_action(api: Api, action: str, body: bytes):
    """A 202 with action, result and uuid, bare; the body may be empty, `{}` or null."""
    server = await api.server()
    if action != "start":
        await switch(api, server, "start")
    headers = {"Content-Type": "application/json"}
    path = f"/servers/{server}/action/?do={action}"
    answer = await api.call("POST", path, data=body, headers=headers)
    assert answer.status == 202
    assert answer.json == {"action": action, "result": "success", "uuid": server}


@in_turn(
    ("action", "before", "after"),
    [
        ("start", "stopped", "running"),
        ("stop", "running", "stopped"),
        ("shutdown", "running", "stopped"),
        ("restart", "running", "running"),
    ],
)
async def test_what_an_action_does_and_in_which_state(
    api: Api, action: str, before: str, after: str
):
    """Each action leads from its state to its own; in the other it is a 403 without a point."""
    server = await api.server()
    if before == "stopped":
        await switch(api, server, action)
    else:
        path = f"/servers/{server}/action/?do={action}"
        assert (await api.post(path)).error == (403, "permission", None)
        await switch(api, server, "start")
        await switch(api, server, action)
    assert (await shown(api, f"/servers/{server}/"))["status"] == after
    if action == "start":
        answer = await api.post(f"/servers/{server}/action/?do=start")
        assert answer.error == (403, "permission", None)


async def test_the_runtime_of_a_server(api: Api):
    """It is null while stopped, at its own URL an empty one; while running both give the same."""
    server = await api.server(nics=[{"ip_v4_conf": {"conf": "static", "ip": "192.0.2.17"}}, {}])
    assert (await shown(api, f"/servers/{server}/"))["runtime"] is None
    empty = {"active_since": None, "nics": []}
    assert await shown(api, f"/servers/{server}/runtime/") == empty
    await switch(api, server, "start")
    found = await shown(api, f"/servers/{server}/")
    runtime = found["runtime"]
    assert await shown(api, f"/servers/{server}/runtime/?limit=0") == runtime
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", runtime["active_since"])
    assert [nic["mac"] for nic in runtime["nics"]] == [nic["mac"] for nic in found["nics"]]
    assert runtime["nics"][0]["ip_v4"] == reference("ips", "192.0.2.17")
    await switch(api, server, "stop")
    assert (await shown(api, f"/servers/{server}/"))["runtime"] is None


async def test_an_action_on_an_unknown_server(api: Api):
    """A server that there is not, or that is another's, is a 404."""
    foreign = await api.server(by=BOB)
    for action in SWITCHES:
        for server in (UNKNOWN, foreign, "nonsense"):
            answer = await api.post(f"/servers/{server}/action/?do={action}")
            assert answer.error == (404, "notexist", None)
    assert (await api.get(f"/servers/{foreign}/", by=BOB)).json["status"] == "stopped"


# Delete


async def test_a_running_server_is_not_deleted(api: Api):
    """Deleting it, alone or among others, is a 403 and nothing is deleted."""
    disk = await api.drive()
    server, other = await running(api, disk), await api.server()
    several = {"objects": [{"uuid": other}, {"uuid": server}]}
    for query in ("", "?recurse=all_drives"):
        for answer in (
            await api.delete(f"/servers/{server}/{query}"),
            await api.delete(f"/servers/{query}", several),
        ):
            assert answer.error == (403, "permission", None), query
    assert set(await listed(api, "/servers/")) == {server, other}
    assert await listed(api, "/drives/") == [disk]


async def test_a_drive_that_another_runs_is_not_deleted_with_a_server(api: Api):
    """If a recursion meets a drive of a running server it is a 403 and nothing is deleted."""
    cdrom = await api.drive(media="cdrom")
    server, _ = await api.server(cdrom), await running(api, cdrom)
    answer = await api.delete(f"/servers/{server}/?recurse=all_drives")
    assert answer.error == (403, "permission", None)
    assert (await api.get(f"/servers/{server}/")).status == 200
    assert (await api.delete(f"/servers/{server}/")).status == 204


async def test_source_and_clone_without_disks_are_deleted_right_after(live: Api):
    """Right after the 202 of a clone without disks both servers can be deleted."""
    source = await live.server(await live.drive(media="cdrom"))
    copy = (await live.post(f"/servers/{source}/action/?do=clone")).json
    for server in (copy["uuid"], source):
        assert (await live.delete(f"/servers/{server}/")).status == 204
    job = await shown(live, copy["jobs"][0]["resource_uri"])
    assert (job["state"], job["resources"]) == ("success", [])


# Availability groups


async def test_only_running_servers_are_in_availability_groups(api: Api):
    """All groups are lists of running servers; that of a stopped one is empty."""
    stopped = await api.server()
    runs = [await running(api) for _ in range(3)]
    groups = (await api.get("/servers/availability_groups/?limit=0")).json
    assert sorted(uuid for group in groups for uuid in group) == sorted(runs)
    for group in groups:
        for uuid in group:
            assert (await api.get(f"/servers/availability_groups/{uuid}/")).json == group
    assert (await api.get(f"/servers/availability_groups/{stopped}/")).json == []
    answer = await api.get(f"/servers/availability_groups/{UNKNOWN}/")
    assert answer.error == (404, "notexist", None)


# Create


async def test_libcloud_creates_without_smp(api: Api):
    """20,000 and 40,000 MHz without smp are taken, and smp is derived; a GET shows the same."""
    for cpu in (20_000, 40_000):
        (server,) = (await api.post("/servers/", {**SERVER, "cpu": cpu})).json["objects"]
        assert cpu / 3000 <= server["smp"] < cpu / 1000
        assert await shown(api, server["resource_uri"]) == server
