"""Every call of the public Python client on what there is here, in Basic and in a session."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.client import Api, striped
from tests.acceptance.running import EMAIL, PASSWORD, Machine
from tests.support.wait import wait_for

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the libraries that it imports
    from cloudsigma import errors, resource

SIZE = 1024_000_000
DRIVE = {"name": "rowan", "media": "disk", "size": str(SIZE)}
SERVER = {"name": "hazel", "cpu": 1000, "mem": 512 * 1024**2, "vnc_password": "abc"}
POOLS = ("north", "south")

Json = dict[str, Any]
Open = Callable[[Any], Any]
"""A resource of the client, logged in, from its class."""


class DriveGroups(resource.ServersAvailabilityGroups):  # type: ignore[misc]
    """Those of drives, which the client lacks a class for."""

    resource_name = "drives/availability_groups"


@pytest.fixture
def server(machine: Machine, tmp_path: Path) -> Api:
    """A service with two pools and two hosts."""
    for pool in POOLS:
        (tmp_path / pool).mkdir()
    hosts = ("--compute-host", "first", "--compute-host", "second")
    return machine.start(*hosts, pools=[f"{pool}={tmp_path / pool}" for pool in POOLS]).api


@pytest.fixture(params=["basic", "session"])
def client(server: Api, request: pytest.FixtureRequest) -> Open:
    said = {"api_endpoint": f"{server.root}/", "username": EMAIL, "password": PASSWORD}
    return lambda kind: kind(**said, login_method=request.param)


def wait_for_status(of: Any, uuid: str, status: str) -> Json:
    """As the client's own tests wait."""

    def find() -> Json | None:
        shown: Json = of.get(uuid)
        return shown if shown["status"] == status else None

    return wait_for(f"for {uuid} to be {status}", find)


def ready(drives: Any, **said: Any) -> str:
    uuid: str = drives.create({**DRIVE, **said})["uuid"]
    wait_for_status(drives, uuid, "unmounted")
    return uuid


def attach(*drives: str) -> list[Json]:
    return [
        {"drive": drive, "device": "virtio", "dev_channel": f"0:{unit}", "boot_order": unit + 1}
        for unit, drive in enumerate(drives)
    ]


def test_drives_are_listed(client: Open) -> None:
    """`list` and `list_detail` take query parameters and give whole lists without them."""
    drives = client(resource.Drive)
    made = drives.create([{**DRIVE, "name": f"d{nth}"} for nth in range(25)])
    assert [each["name"] for each in drives.list()] == [f"d{nth}" for nth in range(25)]
    assert len(drives.list_detail()) == 25
    assert len(drives.list(query_params={"limit": 3, "offset": 23})) == 2
    (found,) = drives.list_detail(query_params={"name": "d7", "fields": "name,uuid"})
    assert found == {"name": "d7", "uuid": made[7]["uuid"]}
    several = {"uuid": f"{made[1]['uuid']},{made[2]['uuid']}"}
    assert [each["name"] for each in drives.list(query_params=several)] == ["d1", "d2"]


def test_drives_are_changed(client: Open) -> None:
    """`update` takes a whole drive; the answer has what was changed and keeps the rest."""
    drives = client(resource.Drive)
    uuid = ready(drives, meta={"a": "b"})
    whole = drives.get(uuid)
    changed = {**whole, "name": "aspen", "media": "cdrom", "meta": {"c": "d"}}
    assert drives.update(uuid, changed) == changed
    assert drives.get(uuid) == changed
    assert drives.update(uuid, {"name": "fir", "media": "disk"})["size"] == SIZE


@pytest.mark.parametrize("by", ["update", "resize"])
def test_drives_are_resized(client: Open, by: str) -> None:
    """`resize` and `update` with another size show the old one until the drive is unmounted.

    The answer is made after the command; a drive without data may have its new size by then.
    """
    drives = client(resource.Drive)
    uuid = ready(drives)
    said = {**drives.get(uuid), "size": 2 * SIZE}
    answer = getattr(drives, by)(uuid, said)
    assert answer["uuid"] == uuid
    assert (answer["status"] == "resizing") == (answer["size"] == SIZE)
    assert 0 <= wait_for_status(drives, uuid, "unmounted")["size"] - 2 * SIZE < 64 * 1024


def test_drives_are_kept_apart(client: Open) -> None:
    """`create` and `clone` take `avoid`, a uuid or a list; the availability groups show it."""
    drives, groups = client(resource.Drive), client(DriveGroups)
    first = ready(drives)
    second = drives.create(DRIVE, avoid=first)["uuid"]
    wait_for_status(drives, second, "unmounted")
    clone = drives.clone(second, {"name": "aspen"}, avoid=[second, first])["uuid"]
    assert sorted(groups.get(first)) == sorted([first, clone])
    assert groups.get(second) == [second]
    assert sorted(map(sorted, groups.list())) == sorted([sorted([first, clone]), [second]])
    wait_for_status(drives, clone, "unmounted")


def test_a_source_can_be_deleted_after_its_clone(client: Open, server: Api) -> None:
    """As soon as the clone is unmounted, source and clone are deleted, and not found any more."""
    drives, jobs = client(resource.Drive), client(resource.Jobs)
    source = server.upload(striped(4))
    clone = drives.clone(source)
    wait_for_status(drives, clone["uuid"], "unmounted")
    job = jobs.get_from_url(clone["jobs"][0]["resource_uri"])
    assert (job["state"], job["data"]) == ("success", {"progress": 100})
    assert job in jobs.list(query_params={"state": "success"})
    for uuid in (source, clone["uuid"]):
        drives.delete(uuid)
        with pytest.raises(errors.ClientError) as caught:
            drives.get(uuid)
        assert caught.value.status_code == 404
    assert jobs.get(job["uuid"])["resources"] == []


def test_servers_are_changed(client: Open) -> None:
    """`update` attaches and detaches drives, keeps macs, and takes a whole server."""
    drives, servers = client(resource.Drive), client(resource.Server)
    disk, other = ready(drives), ready(drives)
    said = {**SERVER, "drives": attach(disk), "nics": [{"ip_v4_conf": {"conf": "dhcp"}}]}
    created = servers.create(said)
    assert servers.list_detail() == [created]
    assert servers.update(created["uuid"], created) == created
    changed = servers.update(created["uuid"], {**created, "name": "x", "drives": attach(other)})
    assert (changed["name"], changed["nics"]) == ("x", created["nics"])
    assert [each["drive"]["uuid"] for each in changed["drives"]] == [other]
    assert drives.get(disk)["status"] == "unmounted"
    assert drives.get(other)["mounted_on"][0]["uuid"] == created["uuid"]
    assert servers.list(query_params={"name": "x", "fields": "uuid"}) == [{"uuid": created["uuid"]}]


def test_servers_are_switched(client: Open) -> None:
    """`start`, `restart`, `stop`, `shutdown` and `runtime`; else a PermissionError."""
    servers = client(resource.Server)
    uuid = servers.create({**SERVER, "nics": [{}]})["uuid"]
    started = servers.start(uuid, allocation_method="auto")
    assert started == {"action": "start", "result": "success", "uuid": uuid}
    shown = wait_for_status(servers, uuid, "running")
    assert servers.runtime(uuid) == shown["runtime"]
    assert servers.restart(uuid)["action"] == "restart"
    with pytest.raises(errors.PermissionError):
        servers.start(uuid)
    with pytest.raises(errors.PermissionError):
        servers.delete(uuid)
    assert servers.shutdown(uuid)["action"] == "shutdown"
    wait_for_status(servers, uuid, "stopped")
    with pytest.raises(errors.PermissionError):
        servers.stop(uuid)
    servers.start(uuid)
    assert servers.stop(uuid)["action"] == "stop"
    wait_for_status(servers, uuid, "stopped")
    servers.delete(uuid)
    assert servers.list() == []


def test_servers_are_cloned_apart(client: Open) -> None:
    """`clone` takes `avoid`, the server itself; the clone's drives are in its answer."""
    drives, servers = client(resource.Drive), client(resource.Server)
    groups = client(DriveGroups)
    disk, cdrom = ready(drives), ready(drives, media="cdrom")
    source = servers.create({**SERVER, "drives": attach(disk, cdrom)})["uuid"]
    clone = servers.clone(source, {"name": "sorrel"}, avoid=source)
    copy, shared = (each["drive"]["uuid"] for each in clone["drives"])
    assert (clone["status"], shared) == ("stopped", cdrom)
    assert disk not in groups.get(copy)
    wait_for_status(drives, copy, "mounted")
    assert len(drives.get(cdrom)["mounted_on"]) == 2
    servers.delete_with_all_drives(source)
    servers.delete_with_disks(clone["uuid"])
    assert drives.list() == []


def test_running_servers_have_groups(client: Open) -> None:
    """Of running servers only."""
    servers, groups = client(resource.Server), client(resource.ServersAvailabilityGroups)
    first, second = (each["uuid"] for each in servers.create([SERVER, SERVER]))
    assert (groups.get(first), groups.list()) == ([], [])
    servers.start(first)
    assert (groups.get(first), groups.get(second)) == ([first], [])
    assert groups.list() == [[first]]


def test_tags(client: Open) -> None:
    """Tags are created, changed, listed with what bears them, set by `update`, and deleted."""
    drives, servers, tags = map(client, (resource.Drive, resource.Server, resource.Tags))
    drive, server = drives.create(DRIVE)["uuid"], servers.create(SERVER)["uuid"]
    tag = tags.create({"name": "fleet", "resources": [drive, server]})
    assert {each["uuid"] for each in tag["resources"]} == {drive, server}
    assert tags.get(tag["uuid"]) == tag
    assert tags.list() == tags.list_detail() == [tag]
    assert tags.update(tag["uuid"], {**tag, "name": "new"})["name"] == "new"
    assert [each["uuid"] for each in tags.drives(tag["uuid"])] == [drive]
    assert [each["uuid"] for each in tags.servers(tag["uuid"])] == [server]
    assert tags.list_resource(tag["uuid"], "ips") == tags.vlans(tag["uuid"]) == []

    other = tags.create([{"name": "a"}, {"name": "b"}])
    uuids = [each["uuid"] for each in other]
    assert {each["uuid"] for each in drives.update(drive, {"tags": uuids})["tags"]} == {*uuids}
    assert servers.update(server, {**SERVER, "tags": uuids[:1]})["tags"][0]["uuid"] == uuids[0]
    assert [each["uuid"] for each in drives.list(query_params={"tag": uuids[1]})] == [drive]
    for uuid in uuids:
        tags.delete(uuid)
    assert drives.get(drive)["tags"] == servers.get(server)["tags"] == []
    assert "resources" in tags.get_schema()["fields"]


def test_profile(client: Open) -> None:
    """`update` takes the whole profile; clones are named as it says."""
    profiles, drives = client(resource.Profile), client(resource.Drive)
    profile = profiles.get()
    assert (profile["email"], profile["clone_naming"]) == (EMAIL, "NONE")
    changed = {**profile, "company": "Kettle", "clone_naming": "COUNTER"}
    assert profiles.update(changed) == changed
    assert profiles.get() == changed
    assert drives.clone(ready(drives))["name"] == "rowan_1"
    with pytest.raises(errors.ClientError) as caught:
        profiles.update({**profile, "clone_naming": "NAMES"})
    assert '"error_point":"clone_naming"' in caught.value.args[0].replace(" ", "")
    assert "clone_naming" in profiles.get_schema()["fields"]


def test_library(client: Open, machine: Machine, tmp_path: Path) -> None:
    """Library drives are listed and shown, and cloned as the client clones every drive."""
    image = tmp_path / "image.raw"
    image.write_bytes(striped(2))
    said = ("--name", "Example OS", "--media", "disk", "--meta", "os=linux")
    added = machine.command("library", "add", str(image), *said)
    assert added.returncode == 0, added.stderr
    library, drives = client(resource.LibDrive), client(resource.Drive)
    (found,) = library.list()
    assert library.list(query_params={"os": "linux"}) == library.list_detail() == [found]
    assert library.list(query_params={"name__icontains": "nothing"}) == []
    assert library.get(found["uuid"]) == found
    assert library.get_from_url(found["resource_uri"]) == found
    clone = drives.clone(found["uuid"], {"name": "mine"})
    assert wait_for_status(drives, clone["uuid"], "unmounted")["meta"]["os"] == "linux"
    assert [each["uuid"] for each in drives.list()] == [clone["uuid"]]
    assert "os" in library.get_schema()["fields"]


def test_audit_log(client: Open) -> None:
    """`list` gives the newest first, as many as are asked for."""
    drives, logs = client(resource.Drive), client(resource.AuditLog)
    uuid = ready(drives)
    drives.delete(uuid)
    assert [each["action"] for each in logs.list()] == ["delete", "create"]
    assert [each["uuid"] for each in logs.list(query_params={"limit": 1})] == [uuid]


def test_jobs(client: Open, server: Api) -> None:
    """A server's clone has its children in the list, in the parent and by their own uri."""
    servers, jobs = client(resource.Server), client(resource.Jobs)
    source = server.create_server(server.upload(striped(2)), server.upload(striped(1)))
    clone = servers.clone(source)
    uri = clone["jobs"][0]["resource_uri"]
    server.succeed(clone["jobs"][0]["uuid"])
    parent = jobs.get_from_url(uri)
    assert len(parent["children"]) == 2
    for child in parent["children"]:
        assert jobs.get_from_url(child["resource_uri"]) == child
        assert child in jobs.list()
    assert parent in jobs.list_detail(query_params={"state": "success,failed"})
    assert jobs.list(query_params={"state": "failed"}) == []
    assert jobs.get_schema()["default_limit"] == 20
