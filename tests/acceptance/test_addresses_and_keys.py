"""Clients that need a server's address or put keys on it: real ones, and requests as others send.

One service is shared by all of them.
"""

import secrets
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.acceptance.client import PUBLIC_KEY, Api, Json, striped
from tests.acceptance.running import EMAIL, PASSWORD, Machine, machine_in
from tests.support import processes
from tests.support.wait import PATIENCE_S, wait_for

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the libraries that they import
    import cscli
    from cloudsigma import resource
    from libcloud.compute.drivers.cloudsigma import CloudSigma_2_0_NodeDriver
    from libcloud.compute.types import NodeState

GIB = 1024**3
NICS = [{"ip_v4_conf": {"conf": "dhcp"}, "model": "virtio"}]
SERVER = {"name": "hazel", "cpu": 1000, "mem": GIB, "vnc_password": "abc", "nics": NICS}
PEM = "-----BEGIN RSA PRIVATE KEY-----\n"


class Keypair(resource.ResourceBase):  # type: ignore[misc]
    """Keypairs, which the client lacks a class for."""

    resource_name = "keypairs"


@pytest.fixture(scope="module")
def machine(account_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with machine_in(tmp_path_factory.mktemp("shared"), account_data) as machine:
        yield machine


@pytest.fixture(scope="module")
def api(machine: Machine) -> Api:
    """Its addresses are none of a private network, which Libcloud lists apart."""
    return machine.start("--address-range", "203.0.113.0/24").api


@pytest.fixture(scope="module")
def image(machine: Machine, api: Api, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A disk of the library, with an operating system; its uuid."""
    file = tmp_path_factory.mktemp("library") / "image.raw"
    file.write_bytes(striped(2))
    added = machine.command("library", "add", str(file), "--name", "Debian")
    assert added.returncode == 0, added.stderr
    (found,) = api.get("/libdrives/")["objects"]
    uuid: str = found["uuid"]
    return uuid


def python_client(api: Api, kind: Any) -> Any:
    return kind(api_endpoint=f"{api.root}/", username=EMAIL, password=PASSWORD)


def test_the_python_client_makes_keys_and_gives_them_to_a_server(api: Api) -> None:
    keypairs, servers = python_client(api, Keypair), python_client(api, resource.Server)
    given = keypairs.create({"name": "given", "public_key": PUBLIC_KEY})
    made = keypairs.create({"name": "made", "algorithm_type": "ed25519"})
    assert (given["private_key"], bool(made["private_key"])) == ("", True)
    assert keypairs.get(made["uuid"]) == {**made, "private_key": ""}
    assert given in keypairs.list()
    assert "public_key" in keypairs.get_schema()["fields"]
    keys = [given["uuid"], made["uuid"]]
    server = servers.create({**SERVER, "name": "with keys", "pubkeys": keys})
    assert [each["uuid"] for each in server["pubkeys"]] == keys
    servers.update(server["uuid"], {**server, "name": "renamed"})
    keypairs.delete(made["uuid"])
    assert [each["uuid"] for each in servers.get(server["uuid"])["pubkeys"]] == keys[:1]
    servers.start(server["uuid"])
    ips = python_client(api, resource.IP)
    (nic,) = servers.runtime(server["uuid"])["nics"]
    assert ips.get(nic["ip_v4"]["uuid"])["server"]["uuid"] == server["uuid"]


def libcloud(api: Api) -> Any:
    """The driver, which insists on TLS, without it."""
    host, _, port = api.address.removeprefix("http://").partition(":")
    driver = CloudSigma_2_0_NodeDriver(EMAIL, PASSWORD, host=host, port=int(port))
    driver.connection.secure = False
    driver.connection.connect()
    driver.DRIVE_TRANSITION_SLEEP_INTERVAL = 0.05
    return driver


def test_libcloud_makes_keys_and_waits_for_the_address_of_a_node(api: Api, image: str) -> None:
    driver = libcloud(api)
    made = driver.create_key_pair("made by libcloud")
    assert made.private_key.startswith(PEM)
    load_pem_private_key(made.private_key.encode(), None)
    imported = driver.import_key_pair_from_string("imported", f"{PUBLIC_KEY}\n")
    assert (imported.public_key, imported.private_key) == (PUBLIC_KEY, "")
    listed = {key.extra["uuid"]: key for key in driver.list_key_pairs()}
    for key in (made, imported):
        again = driver.get_key_pair(key.extra["uuid"])
        assert again.fingerprint == listed[key.extra["uuid"]].fingerprint == key.fingerprint
        assert again.private_key == ""

    (found,) = driver.list_images()
    assert found.id == image
    size, *_ = driver.list_sizes()
    node = driver.create_node(
        "libcloud", size, found, public_keys=[made.extra["uuid"], imported.extra["uuid"]]
    )
    ((running, addresses),) = driver.wait_until_running([node], wait_period=0.05)
    assert running.state == NodeState.RUNNING
    assert addresses == running.public_ips == [api.get("/ips/")["objects"][-1]["uuid"]]
    assert len(api.server(node.id)["pubkeys"]) == 2
    assert driver.delete_key_pair(made)
    assert len(api.server(node.id)["pubkeys"]) == 1


@pytest.fixture
def cscli_client(api: Api, monkeypatch: pytest.MonkeyPatch) -> Any:
    """It knows the public service only; here it is led to ours."""
    monkeypatch.setenv("CLOUDSIGMA_CONFIG", "/dev/null")
    client = cscli.CloudSigmaClient("zrh", EMAIL, PASSWORD)
    for name, kind in {
        "server": resource.Server,
        "drive": resource.Drive,
        "ip": resource.IP,
        "vlan": resource.VLAN,
    }.items():
        setattr(client, name, python_client(api, kind))
    return client


def test_cscli_clones_changes_and_resizes_drives(api: Api, cscli_client: Any) -> None:
    """By name, with whole drives, and without waiting for what takes moments."""
    client = cscli_client
    source = client.create_drive("by cscli", "512M", "disk", False, "ssd")  # noqa: FBT003 - its own
    clone = client.create_clone_drive("copy", source["uuid"], "1G", "disk", True, "ssd")  # noqa: FBT003
    assert clone["status"] in {"cloning_dst", "unmounted"}
    assert clone["allow_multimount"] is True
    api.succeed(clone["jobs"][0]["uuid"])
    changed = client.modify_drive("copy", rename="new", media="cdrom")
    assert (changed["name"], changed["media"]) == ("new", "cdrom")
    client.resize_drive(client.find_drive("new"), "2G")
    wait_for("the new size", lambda: client.find_drive("new")["size"] == 2 * GIB)
    (brief,) = [each for each in client.list_drives("brief")["drives"] if clone["uuid"] in each]
    assert {"size": "2G"} in brief[clone["uuid"]]


def test_cscli_lists_servers_with_their_addresses(api: Api, cscli_client: Any) -> None:
    """It ended with a `TypeError` at a card without one."""
    client = cscli_client
    server = client.create_server(
        *("by cscli", 1, 1000, "256M", secrets.token_hex(), None, None, None, "core")
    )
    client.server.start(server["uuid"])
    (address,) = addresses_of(api.server(server["uuid"]))
    mac = server["nics"][0]["mac"]
    listed = {
        uuid: said for each in client.list_all("brief")["servers"] for uuid, said in each.items()
    }
    assert {"nics": [{mac: {"config": "dhcp", "ip": address}}]} in listed[server["uuid"]]
    (shown,) = [each[address] for each in client.list_ips("brief")["ips"] if address in each]
    assert {"server": ["by cscli"]} in shown
    assert client.find_ip(address)["netmask"] == 24


def addresses_of(server: Json) -> list[str]:
    return [nic["ip_v4"]["uuid"] for nic in server["runtime"]["nics"]]


def test_an_inventory_finds_the_address_of_each_running_server(api: Api) -> None:
    """It reads the runtime of the first public card of all that run, and takes it to be there."""
    running = api.create_server(name="inventory", nics=NICS)
    api.create_server(name="stopped", nics=NICS)
    api.post(f"/servers/{running}/action/?do=start", status=202)
    hosts = {}
    for server in api.get("/servers/detail/?limit=0")["objects"]:
        if server["status"] == "running":
            public = [nic["runtime"] for nic in server["nics"]]
            public = [nic for nic in public if nic["interface_type"] == "public"]
            hosts[server["name"]] = public[0]["ip_v4"]["uuid"]
    assert hosts["inventory"].startswith("203.0.113.")
    assert "stopped" not in hosts
    assert len(set(hosts.values())) == len(hosts)


def test_an_installer_gets_to_a_machine(api: Api, image: str) -> None:
    """By a key, a clone of a library drive, a server with it and a tag; it waits for an address."""
    (key,) = api.post(
        "/keypairs/",
        {"objects": [{"name": "machine", "public_key": f"{PUBLIC_KEY}\n"}]},
        status=201,
    )["objects"]
    body = {"name": "machine", "size": 20 * GIB, "storage_type": "dssd"}
    (drive,) = api.post(f"/libdrives/{image}/action/?do=clone", body, status=202)["objects"]
    wait_for("the drive", lambda: api.drive(drive["uuid"])["status"] == "unmounted")
    said = {
        "cpu": 2000,
        "mem": GIB,
        "name": "machine",
        "vnc_password": "cloudsigma",
        "nics": NICS,
        "pubkeys": [key["uuid"]],
    }
    (server,) = api.post("/servers/", said, status=201)["objects"]
    disk = {"boot_order": 1, "dev_channel": "0:0", "device": "virtio", "drive": drive["uuid"]}
    put = {name: server[name] for name in ("cpu", "mem", "name", "vnc_password")}
    answer = api.call("PUT", f"/servers/{server['uuid']}/", json={**put, "drives": [disk]})
    assert answer.status_code == 200
    assert [each["uuid"] for each in answer.json()["pubkeys"]] == [key["uuid"]]
    api.post("/tags/", {"objects": [{"name": "m", "resources": [server["uuid"]]}]}, status=201)
    # As Go sends it: with a type, and without a body.
    started = api.call(
        "POST",
        f"/servers/{server['uuid']}/action/?do=start",
        headers={"Content-Type": "application/json"},
    )
    assert started.status_code == 202, started.text

    def address() -> str | None:
        shown = api.server(server["uuid"])
        found = [
            nic["ip_v4"]["uuid"]
            for nic in shown["runtime"]["nics"]
            if nic["interface_type"] == "public"
        ]
        return found[0] if found and shown["status"] == "running" else None

    assert wait_for("the address", address)
    # It is removed as it was made: the key before the server that has it.
    api.post(f"/servers/{server['uuid']}/action/?do=shutdown", status=202)
    api.delete(f"/keypairs/{key['uuid']}/")
    assert api.server(server["uuid"])["pubkeys"] == []
    api.delete(f"/servers/{server['uuid']}/?recurse=all_drives")


def test_an_infrastructure_tool_keeps_a_key(api: Api) -> None:
    """It sends what is not empty, reads by a URL without a slash, and updates by a whole object."""
    body = {"objects": [{"name": "key", "public_key": PUBLIC_KEY}]}
    (made,) = api.post("/keypairs/", body, status=201)["objects"]
    uri = f"/keypairs/{made['uuid']}"
    texts = ("fingerprint", "name", "private_key", "public_key", "resource_uri", "uuid")
    assert all(isinstance(made[name], str) for name in texts)
    assert api.get(uri) == made
    (listed,) = [each for each in api.get("/pubkeys/?limit=0")["objects"] if each["name"] == "key"]
    assert listed["has_private_key"] is False
    for update in ({"name": "new", "uuid": made["uuid"]}, {**made, "name": "new"}):
        answer = api.call("PUT", f"{uri}/", json=update)
        assert (answer.status_code, answer.json()) == (200, {**made, "name": "new"})
    api.delete(f"{uri}/")
    assert api.status(uri) == 404


def test_a_cluster_provider_reads_the_addresses_of_its_machines(api: Api) -> None:
    """Their masks are integers, and none seems to be free."""
    server = api.create_server(name="node", meta={"cluster": "a"}, nics=NICS)
    api.post(f"/servers/{server}/action/?do=start", status=202)
    (address,) = addresses_of(api.server(server))
    listed = {ip["uuid"]: ip for ip in api.get("/ips/detail/?limit=0")["objects"]}
    assert listed[address] == api.get(f"/ips/{address}/")
    assert listed[address]["server"]["uuid"] == server
    for ip in listed.values():
        assert isinstance(ip["netmask"], int)
        assert isinstance(ip["gateway"], str)
        assert ip["server"] is not None


def test_the_command_line_shows_addresses_and_keys(machine: Machine, api: Api) -> None:
    token = machine.command("token", "add", EMAIL).stdout.partition("token: ")[2].strip()
    environment = {"JOB_LEDGER_URL": api.address, "JOB_LEDGER_TOKEN": token}
    server = api.create_server(name="shown", nics=[{**NICS[0], "mac": "22:00:00:01:02:fe"}])
    api.post(f"/servers/{server}/action/?do=start", status=202)
    (key,) = api.post("/keypairs/", {"name": "k", "public_key": PUBLIC_KEY}, status=201)["objects"]

    def line_of(uuid: str, *words: str) -> str:
        done = processes.run(*words, timeout=PATIENCE_S, env=processes.environment() | environment)
        assert done.returncode == 0, done.stderr
        (line,) = [line for line in done.stdout.splitlines() if uuid in line]
        return line

    assert "203.0.113.254" in line_of(server, "servers", "--name", "shown")
    assert key["fingerprint"] in line_of(key["uuid"], "keypairs", "--limit", "0")
