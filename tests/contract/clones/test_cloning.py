"""Cloning drives and servers: tests/contract/CONTRACT.md 2.1 to 2.5 and 2.8."""

from typing import Any

from tests.api.calling import SIZE, UNKNOWN, Api
from tests.contract.following import Json, jobs_of, listed, reference, settled, shown
from tests.harness.cases import in_turn

VLAN = "e584e66b-ee33-4fe0-a6a0-1f1e396e39a1"


async def status(api: Api, drive: str) -> str:
    return str((await shown(api, f"/drives/{drive}/"))["status"])


async def clone_server(api: Api, source: str, **said: Any) -> Json:
    answer = await api.post(f"/servers/{source}/action/?do=clone", said)
    assert answer.status == 202, answer.body
    copy: Json = answer.json
    return copy


# Drives


@in_turn(
    "said",
    [
        {"media": "disk", "name": "amber", "size": SIZE},
        {"media": "disk", "name": "amber", "size": SIZE, "storage_type": "zadara"},
        {"media": "cdrom", "name": "amber", "size": str(SIZE), "allow_multimount": True},
        {"media": "disk", "name": "amber", "size": SIZE, "meta": {"a": "b"}, "affinities": ["ssd"]},
    ],
)
async def test_a_clone_takes_what_each_client_sends(api: Api, said: Json):
    """Every key that a known client sends with a clone is taken, and shown in the answer."""
    source = await api.drive()
    answer = await api.post(f"/drives/{source}/action/?do=clone", said)
    (clone,) = answer.json["objects"]
    assert {key: clone[key] for key in said} == {**said, "size": SIZE}


async def test_a_clone_takes_a_whole_drive_as_its_body(api: Api):
    """The answer of a GET may be sent with a clone: its tags count, its read-only keys do not."""
    source = await api.drive(name="ember", meta={"a": "b"})
    tag = (await api.post("/tags/", {"name": "t", "resources": [source]})).json["objects"][0]
    await api.server(source)
    whole = await shown(api, f"/drives/{source}/")
    assert (whole["tags"], len(whole["mounted_on"])) == ([reference("tags", tag["uuid"])], 1)

    answer = await api.post(f"/drives/{source}/action/?do=clone", whole)
    (clone,) = answer.json["objects"]
    assert clone["uuid"] != source
    for key in ("name", "meta", "size", "media", "owner", "tags"):
        assert clone[key] == whole[key]
    fresh = {"mounted_on": [], "snapshots": [], "grantees": []}
    assert {key: clone[key] for key in fresh} == fresh


async def test_a_clone_inherits_the_storage_type(api: Api):
    """Without `storage_type` a clone has its source's, in either direction another is taken."""
    source = await api.drive(storage_type="zadara", size=1024**3)
    path = f"/drives/{source}/action/?do=clone"
    (same,) = (await api.post(path)).json["objects"]
    (other,) = (await api.post(path, {"storage_type": "dssd"})).json["objects"]
    assert (same["storage_type"], same["runtime"]["storage_type"]) == ("zadara", "zadara")
    assert (other["storage_type"], other["runtime"]["storage_type"]) == ("dssd", "dssd")


async def test_the_job_is_the_clones_only_one_and_its_sources_last(api: Api):
    """The destination's `jobs` are that one job; the source's gain it at the end."""
    source = await api.drive()
    _, first = await api.clone(source)
    destination, second = await api.clone(source)
    assert jobs_of(await shown(api, f"/drives/{destination}/")) == [second]
    found = await shown(api, f"/drives/{source}/")
    assert found["jobs"] == [reference("jobs", first), reference("jobs", second)]


async def test_a_source_is_freed_by_the_last_of_its_clones(api: Api):
    """A source that is cloned twice at once is `cloning_src` until both clones are over."""
    source = await api.drive()
    _, first = await api.clone(source)
    _, second = await api.clone(source)
    await api.succeed(first)
    assert await status(api, source) == "cloning_src"
    await api.fail(second)
    assert await status(api, source) == "unmounted"


async def test_a_mounted_source_is_mounted_throughout(api: Api):
    """A mounted source stays mounted while it is cloned and after."""
    source = await api.drive()
    await api.server(source)
    _, job = await api.clone(source)
    seen = [await status(api, source)]
    await api.succeed(job)
    seen.append(await status(api, source))
    assert seen == ["mounted", "mounted"]


async def test_a_clone_may_be_attached_by_put_while_it_is_made(api: Api):
    """A `cloning_dst` drive may be attached to an existing server; it is mounted when done."""
    server = await api.server()
    destination, job = await api.clone(await api.drive())
    mount = {"drive": destination, "device": "virtio", "dev_channel": "0:0"}
    answer = await api.put(f"/servers/{server}/", {"drives": [mount]})
    assert answer.status == 200
    assert await status(api, destination) == "cloning_dst"
    await api.succeed(job)
    assert await status(api, destination) == "mounted"


async def test_a_failed_clone_leaves_the_server_it_was_attached_to(api: Api):
    """A clone that fails is removed everywhere: 404, and no server mounts it."""
    destination, job = await api.clone(await api.drive())
    server = await api.server(destination)
    await api.fail(job)
    assert (await api.get(f"/drives/{destination}/")).error == (404, "notexist", None)
    assert (await shown(api, f"/servers/{server}/"))["drives"] == []


async def test_a_server_does_not_start_while_its_disk_is_cloned_into(api: Api):
    """Starting a server while one of its disks has no complete image is a 403; then it starts."""
    destination, job = await api.clone(await api.drive())
    server = await api.server(destination)
    path = f"/servers/{server}/action/?do=start"
    assert (await api.post(path)).error == (403, "permission", None)
    assert (await shown(api, f"/servers/{server}/"))["status"] == "stopped"
    await api.succeed(job)
    assert (await api.post(path)).status == 202


async def test_a_greater_clone_never_shows_resizing(live: Api):
    """A clone that is greater than its source goes from `cloning_dst` to `unmounted`."""
    source = await live.drive()
    answer = await live.post(f"/drives/{source}/action/?do=clone", {"size": 2 * SIZE})
    (clone,) = answer.json["objects"]
    assert clone["status"] in {"cloning_dst", "unmounted"}
    done = await settled(live, clone["uuid"], "cloning_dst")
    assert (done["status"], done["size"]) == ("unmounted", 2 * SIZE)
    assert (await live.delete(f"/drives/{source}/")).status == 204


# Servers

SAID = {
    "name": "elm",
    "cpu": 4000,
    "mem": 1024**3,
    "smp": 2,
    "cpu_type": "intel",
    "auto_start": True,
    "context": False,
    "cpus_instead_of_cores": True,
    "enable_numa": True,
    "hv_relaxed": True,
    "hv_tsc": True,
    "meta": {"note": "first"},
    "requirements": ["sgx"],
    "gpus": [{"name": "a"}],
    "epcs": [{"size": 5}],
}
OWN = {"uuid", "resource_uri", "drives", "nics", "jobs", "runtime", "status"}


async def test_a_server_clone_is_equal_but_for_what_is_its_own(api: Api):
    """All properties are the source's, its tags too; its status is `stopped` if that runs."""
    disk = await api.drive()
    source = await api.server(disk, **SAID, pubkeys=[await api.keypair()])
    tag = await api.post("/tags/", {"name": "fleet", "resources": [source]})
    assert (await api.post(f"/servers/{source}/action/?do=start")).status == 202
    copy = await clone_server(api, source)
    original = await shown(api, f"/servers/{source}/")

    assert original["status"] == "running"
    assert (copy["status"], copy["runtime"]) == ("stopped", None)
    assert copy["tags"] == [reference("tags", tag.json["objects"][0]["uuid"])]
    assert {key: copy[key] for key in copy if key not in OWN} == {
        key: original[key] for key in original if key not in OWN
    }


async def test_a_server_clone_has_its_disks_at_the_same_places(api: Api):
    """Each cloned disk has its source's index, device, dev_channel and boot_order."""
    disks = [await api.drive(name=name) for name in ("one", "two", "three")]
    places = [("virtio", "1:0", 2), ("ide", "0:1", None), ("virtio", "0:3", 1)]
    mounts = [
        {"drive": drive, "device": device, "dev_channel": channel, "boot_order": order}
        for drive, (device, channel, order) in zip(disks, places, strict=True)
    ]
    source = await api.server(drives=mounts)
    copy = await clone_server(api, source)
    original = await shown(api, f"/servers/{source}/")

    def placed(server: Json) -> list[Any]:
        return [{**mount, "drive": None} for mount in server["drives"]]

    assert placed(copy) == placed(original)
    for new, old in zip(copy["drives"], original["drives"], strict=True):
        assert new["drive"]["uuid"] != old["drive"]["uuid"]
        names = [(await shown(api, each["drive"]["resource_uri"]))["name"] for each in (new, old)]
        assert names[0] == names[1]


async def test_the_children_of_a_server_clone(api: Api):
    """There is a drive_clone for each disk and none for a cdrom; the parent names the servers."""
    disk, cdrom = await api.drive(), await api.drive(media="cdrom")
    source = await api.server(disk, cdrom)
    copy = await clone_server(api, source)
    (job,) = jobs_of(copy)
    parent = await shown(api, f"/jobs/{job}/")
    assert parent["operation"] == "server_clone"
    assert parent["resources"] == sorted(f"/api/2.0/servers/{s}/" for s in (source, copy["uuid"]))

    (child,) = parent["children"]
    new = copy["drives"][0]["drive"]["uuid"]
    assert child["operation"] == "drive_clone"
    assert child["resources"] == sorted(f"/api/2.0/drives/{d}/" for d in (disk, new))
    assert await shown(api, child["resource_uri"]) == child
    cloned = await shown(api, f"/drives/{new}/")
    assert cloned["status"] == "cloning_dst"
    assert cloned["mounted_on"] == [reference("servers", copy["uuid"])]
    assert cloned["jobs"] == [reference("jobs", child["uuid"])]
    assert jobs_of(await shown(api, f"/servers/{source}/")) == [job]


async def test_a_cdrom_is_shared_by_a_server_and_its_clone(api: Api):
    """The clone mounts the same cdrom, without allow_multimount; `mounted_on` has both servers."""
    cdrom = await api.drive(media="cdrom", allow_multimount=False)
    source = await api.server(cdrom)
    copy = await clone_server(api, source)
    assert [mount["drive"]["uuid"] for mount in copy["drives"]] == [cdrom]
    found = await shown(api, f"/drives/{cdrom}/")
    assert found["mounted_on"] == [reference("servers", each) for each in (source, copy["uuid"])]
    assert (found["status"], found["jobs"]) == ("mounted", [])


async def test_a_clones_nics_have_no_addresses(api: Api):
    """Static, dhcp and manual become dhcp; with a vlan there is none; order and model are kept."""
    nics = [
        {"ip_v4_conf": {"conf": "static", "ip": "192.0.2.17"}, "model": "e1000"},
        {"vlan": {"uuid": VLAN}},
        {"ip_v4_conf": {"conf": "manual"}, "firewall_policy": UNKNOWN},
        {"ip_v4_conf": {"conf": "dhcp"}, "boot_order": 3},
    ]
    source = await api.server(nics=nics)
    copy = await clone_server(api, source)
    original = await shown(api, f"/servers/{source}/")
    dhcp = {"conf": "dhcp", "ip": None}
    assert [nic["ip_v4_conf"] for nic in copy["nics"]] == [dhcp, None, dhcp, dhcp]
    for key in ("model", "vlan", "firewall_policy", "boot_order", "ip_v6_conf", "runtime"):
        assert [nic[key] for nic in copy["nics"]] == [nic[key] for nic in original["nics"]]
    macs = [nic["mac"] for server in (copy, original) for nic in server["nics"]]
    assert len(set(macs)) == 8
    assert all(mac.startswith("22:") for mac in macs)


async def test_a_server_clone_is_mounted_when_done(live: Api):
    """The clone's disks go from `cloning_dst` to `mounted`, then nothing keeps either server."""
    source = await live.server(await live.drive(), await live.drive(media="cdrom"))
    copy = await clone_server(live, source)
    disk = copy["drives"][0]["drive"]["uuid"]
    assert (await settled(live, disk, "cloning_dst"))["status"] == "mounted"
    for server in (source, copy["uuid"]):
        assert (await live.delete(f"/servers/{server}/?recurse=all_drives")).status == 204
    assert await listed(live, "/drives/") == []


async def test_a_server_is_cloned_while_its_disk_is_cloned(api: Api):
    """A disk that is cloned already is no hindrance to cloning its server."""
    disk = await api.drive()
    await api.clone(disk)
    copy = await clone_server(api, await api.server(disk))
    assert len(copy["drives"]) == 1
