"""The public Python client, `cloudsigma`, and requests as apache-libcloud sends them."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests

from tests.acceptance.client import Api, sha256, striped
from tests.acceptance.running import EMAIL, PASSWORD, Machine
from tests.support.wait import PATIENCE_S, wait_for

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the libraries that it imports
    from cloudsigma import errors, resource

SIZE = 1024_000_000
DRIVE = {"name": "rowan", "media": "disk", "size": str(SIZE)}
SERVER = {"name": "hazel", "cpu": 1000, "mem": 512 * 1024**2, "vnc_password": "abc"}
LIBCLOUD = {"Content-Type": "application/json", "Accept": "application/json"}

Json = dict[str, Any]


class Client(NamedTuple):
    """The client's resources."""

    drives: Any
    servers: Any
    jobs: Any
    api: Api


@pytest.fixture
def client(machine: Machine) -> Client:
    api = machine.start().api
    account = {"api_endpoint": f"{api.root}/", "username": EMAIL, "password": PASSWORD}
    return Client(
        resource.Drive(**account), resource.Server(**account), resource.Jobs(**account), api
    )


def wait_for_status(of: Any, uuid: str, status: str) -> Json:
    """As the client's own tests wait."""

    def find() -> Json | None:
        shown: Json = of.get(uuid)
        return shown if shown["status"] == status else None

    return wait_for(f"for {uuid} to be {status}", find)


def wait_for_job(client: Client, uri: str) -> list[int]:
    """Follows a job by its uri; returns what was seen of its progress."""
    seen: list[int] = []

    def is_done() -> bool:
        seen.append(client.jobs.get_from_url(uri)["data"]["progress"])
        return seen[-1] == 100

    wait_for(f"for {uri} to be done", is_done, pause_s=0)
    return seen


def attach(*drives: str) -> list[Json]:
    return [
        {"drive": drive, "device": "virtio", "dev_channel": f"0:{unit}", "boot_order": unit + 1}
        for unit, drive in enumerate(drives)
    ]


def ready_drives(client: Client, *media: str) -> list[str]:
    created = [client.drives.create({**DRIVE, "media": each}) for each in media]
    for drive in created:
        wait_for_status(client.drives, drive["uuid"], "unmounted")
    return [drive["uuid"] for drive in created]


def server_with_drives(client: Client) -> str:
    """A new server with a disk and a cdrom."""
    drives = attach(*ready_drives(client, "disk", "cdrom"))
    uuid: str = client.servers.create({**SERVER, "drives": drives})["uuid"]
    return uuid


def test_drives(client: Client) -> None:
    """Drives are created, listed, looked at and deleted with the public client."""
    drive = client.drives.create(DRIVE)
    assert drive["status"] in {"creating", "unmounted"}
    wait_for_status(client.drives, drive["uuid"], "unmounted")
    bulk = client.drives.create([{**DRIVE, "name": "fir"}, {**DRIVE, "name": "yew"}])
    assert [each["name"] for each in bulk] == ["fir", "yew"]

    uuids = {drive["uuid"], *(each["uuid"] for each in bulk)}
    assert {each["uuid"] for each in client.drives.list()} == uuids
    listed = client.drives.list(query_params={"fields": "name,uuid"})
    assert {tuple(sorted(each)) for each in listed} == {("name", "uuid")}
    details = {each["uuid"]: each for each in client.drives.list_detail()}
    assert set(details) == uuids
    got = client.drives.get(drive["uuid"])
    assert got == details[drive["uuid"]]
    assert got == client.drives.get_from_url(drive["resource_uri"])
    assert (got["size"], got["jobs"], got["mounted_on"]) == (SIZE, [], [])
    assert "uuid" in client.drives.get_schema()["fields"]

    client.drives.delete(drive["uuid"])
    with pytest.raises(errors.ClientError) as caught:
        client.drives.get(drive["uuid"])
    assert caught.value.status_code == 404
    assert drive["uuid"] not in {each["uuid"] for each in client.drives.list()}


def test_clone_of_a_drive(client: Client) -> None:
    """A drive is cloned, and its job followed to 100, with the public client."""
    content = striped(64)
    source = client.api.upload(content)
    clone = client.drives.clone(source, {"name": "aspen", "media": "disk"}, avoid=[source])
    assert clone["name"] == "aspen"
    assert clone["status"] in {"cloning_dst", "unmounted"}
    (job,) = clone["jobs"]
    seen = wait_for_job(client, job["resource_uri"])
    assert seen == sorted(seen)

    shown = client.jobs.get(job["uuid"])
    assert (shown["state"], shown["operation"]) == ("success", "drive_clone")
    assert shown in client.jobs.list()
    assert shown in client.jobs.list_detail()
    assert client.jobs.get_schema()["fields"]["state"]["default"] == "started"
    assert client.drives.get(clone["uuid"])["status"] == "unmounted"
    assert sha256(client.api.download(clone["uuid"])) == sha256(content)
    client.drives.delete(source)
    client.drives.delete(clone["uuid"])
    assert client.jobs.get(job["uuid"])["resources"] == []


def test_server(client: Client) -> None:
    """A server is created, cloned with its disks, and deleted with the public client."""
    disk, cdrom = ready_drives(client, "disk", "cdrom")
    server = client.servers.create({**SERVER, "drives": attach(disk, cdrom)})
    assert server["status"] == "stopped"
    assert client.servers.get(server["uuid"]) == server
    assert client.drives.get(disk)["status"] == "mounted"

    clone = client.servers.clone(server["uuid"], {"name": "sorrel", "random_vnc_password": True})
    assert (clone["name"], clone["status"]) == ("sorrel", "stopped")
    assert clone["vnc_password"] != server["vnc_password"]
    wait_for_job(client, clone["jobs"][0]["resource_uri"])
    copy, shared = (each["drive"]["uuid"] for each in clone["drives"])
    assert shared == cdrom
    assert client.drives.get(copy)["status"] == "mounted"
    assert {each["uuid"] for each in client.servers.list()} == {server["uuid"], clone["uuid"]}
    assert {each["uuid"] for each in client.servers.list_detail()} == {
        server["uuid"],
        clone["uuid"],
    }
    assert "uuid" in client.servers.get_schema()["fields"]

    client.servers.delete(clone["uuid"])
    wait_for_status(client.drives, copy, "unmounted")
    client.servers.delete_with_all_drives(server["uuid"])
    assert client.servers.list() == []
    assert [each["uuid"] for each in client.drives.list()] == [copy]


@pytest.mark.parametrize(
    ("recurse", "left"),
    [(None, {"disk", "cdrom"}), ("disks", {"cdrom"}), ("cdroms", {"disk"}), ("all_drives", set())],
)
def test_delete_of_a_server_with_its_drives(
    client: Client, recurse: str | None, left: set[str]
) -> None:
    """A server goes alone or with those of its drives that `recurse` names, alone or in a list."""
    delete = {
        None: client.servers.delete,
        "disks": client.servers.delete_with_disks,
        "cdroms": client.servers.delete_with_cdroms,
        "all_drives": client.servers.delete_with_all_drives,
    }[recurse]
    delete(server_with_drives(client))
    assert {each["media"] for each in client.drives.list_detail()} == left
    for each in client.drives.list():
        client.drives.delete(each["uuid"])

    several = [{"uuid": server_with_drives(client)} for _ in range(2)]
    query = f"?recurse={recurse}" if recurse else ""
    client.api.delete(f"/servers/{query}", {"objects": several})
    assert client.servers.list() == []
    drives = client.drives.list_detail()
    assert {each["media"] for each in drives} == left
    assert len(drives) == 2 * len(left)
    assert {each["status"] for each in drives} <= {"unmounted"}


def test_wrong_password(client: Client) -> None:
    """The public client reports a wrong password as its AuthError."""
    drives = resource.Drive(
        api_endpoint=f"{client.api.root}/", username=EMAIL, password="not the password"
    )
    with pytest.raises(errors.AuthError):
        drives.list()


def test_configuration_file(client: Client, tmp_path: Path) -> None:
    """The public client works with endpoint and account from the file CLOUDSIGMA_CONFIG names."""
    config = tmp_path / "cloudsigma.conf"
    config.write_text(
        f"api_endpoint = {client.api.root}/\nusername = {EMAIL}\npassword = {PASSWORD}\n"
    )
    drive = client.drives.create(DRIVE)
    script = "import json, cloudsigma.resource as r; print(json.dumps(r.Drive().list()))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        env={**os.environ, "CLOUDSIGMA_CONFIG": str(config)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [each["uuid"] for each in json.loads(done.stdout)] == [drive["uuid"]]


# As apache-libcloud


def accepted(answer: requests.Response, status: int = 202) -> Json:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    value: Json = answer.json()
    return value


def test_clone_with_an_empty_body(client: Client) -> None:
    """A clone may be asked for with a body of no bytes that is declared to be JSON."""
    source = client.api.upload(striped(2), "poplar")
    headers = {**LIBCLOUD, "Content-Length": "0"}
    answer = client.api.call("POST", f"/drives/{source}/action/?do=clone", headers=headers)
    (drive,) = accepted(answer)["objects"]
    assert drive["name"] == "poplar"
    client.api.succeed(drive["jobs"][0]["uuid"])


def test_clone_with_avoid_before_do(client: Client) -> None:
    """The order of the query's parameters is free, and commas may be escaped."""
    source, other = client.api.upload(striped(2)), client.api.upload(striped(1))
    path = f"/drives/{source}/action/?avoid={source}%2C{other}&do=clone"
    answer = client.api.call("POST", path, headers=LIBCLOUD, data=json.dumps({"name": "teak"}))
    (drive,) = accepted(answer)["objects"]
    assert drive["name"] == "teak"
    client.api.succeed(drive["jobs"][0]["uuid"])


def test_server_clone_with_nulls(client: Client) -> None:
    """A null is as good as no value: the clone of a server keeps name and password."""
    source = client.api.create_server(client.api.upload(striped(1)), name="maple")
    nulls = {"name": None, "random_vnc_password": None}
    answer = client.api.call(
        "POST", f"/servers/{source}/action/?do=clone", headers=LIBCLOUD, data=json.dumps(nulls)
    )
    server = accepted(answer)
    assert (server["name"], server["vnc_password"]) == ("maple", "spoon")
    client.api.succeed(server["jobs"][0]["uuid"])


def test_limit_on_everything(client: Client) -> None:
    """`?limit=0` is taken on every GET: a list is whole then, and a single object is the same."""
    source = client.api.upload(striped(1))
    server = client.api.create_server()
    clones = [client.api.clone(source) for _ in range(22)]
    client.api.succeed(*(clone.job for clone in clones))

    for path in (f"/drives/{source}/", f"/servers/{server}/", f"/jobs/{clones[0].job}/"):
        assert client.api.get(f"{path}?limit=0") == client.api.get(path)
    assert accepted(client.api.call("GET", "/drives/schema/?limit=0"), 200)["fields"]
    for path, total in (("/drives/", 23), ("/drives/detail/", 23), ("/jobs/", 22)):
        whole = client.api.get(f"{path}?limit=0")
        assert whole["meta"] == {"limit": 0, "offset": 0, "total_count": total}
        assert len(whole["objects"]) == total
        assert len(client.api.get(path)["objects"]) == 20


def test_bare_object(client: Client) -> None:
    """A drive and a server are also created from one bare object without an envelope."""
    for path, said in (("/drives/", DRIVE), ("/servers/", {**SERVER, "cpu": 20_000})):
        answer = client.api.call("POST", path, headers=LIBCLOUD, data=json.dumps(said))
        (made,) = accepted(answer, 201)["objects"]
        assert answer.headers["Location"] == made["resource_uri"]


def test_without_the_slash_at_the_end(client: Client) -> None:
    """URLs without the slash at their end are answered as they are, not redirected."""
    source = client.api.upload(striped(1))
    assert client.api.get(f"/drives/{source}")["uuid"] == source
    answer = client.api.call("POST", f"/drives/{source}/action?do=clone", headers=LIBCLOUD)
    client.api.succeed(accepted(answer)["objects"][0]["jobs"][0]["uuid"])
