"""What cannot be taken: 400 with the field at fault, and nothing happens."""

from typing import Any

import pytest

from api.requests import BULK_LIMIT
from tests.api.calling import DRIVE, SERVER, UNKNOWN, Api

GIB = 1024**3
LONG = "x" * 256

DRIVES: list[tuple[dict[str, Any], str]] = [
    ({"name": None}, "name"),
    ({"name": 5}, "name"),
    ({"name": LONG}, "name"),
    ({"name": "a\0b"}, "name"),
    ({"media": None}, "media"),
    ({"media": "tape"}, "media"),
    ({"media": ["disk"]}, "media"),
    ({"size": None}, "size"),
    ({"size": True}, "size"),
    ({"size": 1e9}, "size"),
    ({"size": 10**30}, "size"),
    ({"size": "1e9"}, "size"),
    ({"size": "-1"}, "size"),
    ({"size": "\u0661" * 10}, "size"),
    ({"size": "9" * 5000}, "size"),
    ({"size": ""}, "size"),
    ({"size": -1}, "size"),
    ({"size": 512 * 1024**2 - 1}, "size"),
    ({"size": 16 * 1024**4 + 1}, "size"),
    ({"size": {}}, "size"),
    ({"storage_type": "tape"}, "storage_type"),
    ({"storage_type": 1}, "storage_type"),
    ({"meta": []}, "meta"),
    ({"meta": "text"}, "meta"),
    ({"meta": {"a": 1}}, "meta"),
    ({"meta": {"a": None}}, "meta"),
    ({"meta": {"a": {}}}, "meta"),
    ({"meta": {"k" * 33: "v"}}, "meta"),
    ({"meta": {"a\0": "v"}}, "meta"),
    ({"meta": {"a": "\0"}}, "meta"),
    ({"affinities": "ssd"}, "affinities"),
    ({"affinities": [1]}, "affinities"),
    ({"affinities": ["a"] * 1001}, "affinities"),
    ({"allow_multimount": 1}, "allow_multimount"),
    ({"allow_multimount": "true"}, "allow_multimount"),
]

MOUNT = {"device": "virtio", "dev_channel": "0:0", "drive": UNKNOWN}


def mount(**said: Any) -> dict[str, Any]:
    return {"drives": [{**MOUNT, **said}]}


def nic(**said: Any) -> dict[str, Any]:
    return {"nics": [said]}


SERVERS: list[tuple[dict[str, Any], str]] = [
    ({"name": None}, "name"),
    ({"name": LONG}, "name"),
    ({"cpu": None}, "cpu"),
    ({"cpu": 249}, "cpu"),
    ({"cpu": 96_001}, "cpu"),
    ({"cpu": 1000.5}, "cpu"),
    ({"mem": None}, "mem"),
    ({"mem": 256 * 1024**2 - 1}, "mem"),
    ({"mem": 128 * GIB + 1}, "mem"),
    ({"smp": 0}, "smp"),
    ({"smp": 33}, "smp"),
    ({"smp": 2}, "smp"),
    ({"smp": True}, "smp"),
    ({"vnc_password": None}, "vnc_password"),
    ({"vnc_password": 1}, "vnc_password"),
    ({"vnc_password": "\0"}, "vnc_password"),
    ({"cpu_type": 5}, "cpu_type"),
    ({"auto_start": "no"}, "auto_start"),
    ({"meta": {"a": 1}}, "meta"),
    ({"requirements": {}}, "requirements"),
    ({"pubkeys": ["nonsense"]}, "pubkeys"),
    ({"pubkeys": [{"name": "x"}]}, "pubkeys"),
    ({"gpus": [[]]}, "gpus"),
    ({"gpus": [{"a": {}}]}, "gpus"),
    ({"epcs": [{"a": "\0"}]}, "epcs"),
    ({"drives": {}}, "drives"),
    ({"drives": ["x"]}, "drives"),
    (mount(drive=None), "drives"),
    (mount(drive="nonsense"), "drives"),
    (mount(drive={"uuid": 5}), "drives"),
    (mount(drive={}), "drives"),
    (mount(device=None), "drives"),
    (mount(device="sata"), "drives"),
    (mount(dev_channel=None), "drives"),
    (mount(dev_channel="0"), "drives"),
    (mount(dev_channel="0:6"), "drives"),
    (mount(dev_channel="203:0"), "drives"),
    (mount(dev_channel="00:0"), "drives"),
    (mount(dev_channel="0:\u0661"), "drives"),
    (mount(dev_channel="-1:0"), "drives"),
    (mount(dev_channel="2:0", device="ide"), "drives"),
    (mount(dev_channel="0:2", device="ide"), "drives"),
    (mount(boot_order="first"), "drives"),
    (mount(boot_order=-1), "drives"),
    ({"drives": [MOUNT, {**MOUNT, "drive": UNKNOWN.replace("5", "6")}]}, "drives"),
    ({"drives": [MOUNT, {**MOUNT, "dev_channel": "0:1"}]}, "drives"),
    ({"nics": "dhcp"}, "nics"),
    (nic(mac="22:00"), "nics"),
    (nic(mac=""), "nics"),
    (nic(mac="22-00-00-00-00-01"), "nics"),
    ({"nics": [{"mac": "22:00:00:00:00:01"}] * 2}, "nics"),
    (nic(model="rtl"), "nics"),
    (nic(vlan="nonsense"), "nics"),
    (nic(vlan=UNKNOWN, ip_v4_conf={"conf": "dhcp"}), "nics"),
    (nic(vlan=UNKNOWN, ip_v6_conf={"conf": "dhcp"}), "nics"),
    (nic(firewall_policy={"uuid": "x"}), "nics"),
    (nic(ip_v4_conf="dhcp"), "nics"),
    (nic(ip_v4_conf={}), "nics"),
    (nic(ip_v4_conf={"conf": "magic"}), "nics"),
    (nic(ip_v4_conf={"conf": "static"}), "nics"),
    (nic(ip_v4_conf={"conf": "static", "ip": "2001:db8::1"}), "nics"),
    (nic(ip_v4_conf={"conf": "static", "ip": "192.0.2.256"}), "nics"),
    (nic(ip_v4_conf={"conf": "dhcp", "ip": "192.0.2.1"}), "nics"),
    (nic(ip_v6_conf={"conf": "static", "ip": "192.0.2.1"}), "nics"),
    (nic(boot_order=1.5), "nics"),
]

CLONES = [(said, point) for said, point in DRIVES if None not in said.values()]


async def assert_refused(api: Api, path: str, body: Any, point: str | None) -> None:
    assert (await api.post(path, body)).error == (400, "validation", point)
    for kind in ("drives", "servers"):
        assert (await api.get(f"/{kind}/")).json["meta"]["total_count"] == 0


async def test_drives_with_bad_values(api: Api):
    """A drive with a value that cannot be taken is refused for that field."""
    for said, point in DRIVES:
        answer = await api.post("/drives/", {**DRIVE, **said})
        assert answer.error == (400, "validation", point), said
    assert (await api.get("/drives/")).json["meta"]["total_count"] == 0


async def test_servers_with_bad_values(api: Api):
    """A server with a value that cannot be taken is refused for the outermost field."""
    for said, point in SERVERS:
        answer = await api.post("/servers/", {**SERVER, **said})
        assert answer.error == (400, "validation", point), said
    assert (await api.get("/servers/")).json["meta"]["total_count"] == 0


async def test_clones_with_bad_values(api: Api):
    """A clone with a value that cannot be taken is refused; absent and null are fine."""
    source = await api.drive(size=DRIVE["size"] + 16384)
    for said, point in CLONES:
        answer = await api.post(f"/drives/{source}/action/?do=clone", said)
        assert answer.error == (400, "validation", point), said
    for said, point in (({"name": 1}, "name"), ({"random_vnc_password": 1}, "random_vnc_password")):
        answer = await api.post(f"/servers/{source}/action/?do=clone", said)
        assert answer.error == (400, "validation", point)
    assert (await api.get("/jobs/")).json["meta"]["total_count"] == 0


@pytest.mark.parametrize("kind", ["drives", "servers"])
@pytest.mark.parametrize(
    ("body", "point"),
    [
        ({"objects": {}}, "objects"),
        ({"objects": None}, "objects"),
        ({"objects": []}, "objects"),
        ([], "objects"),
        ([1], "objects"),
        ([[]], "objects"),
        ("text", "objects"),
        (5, "objects"),
        ([{}] * (BULK_LIMIT + 1), "objects"),
        ({}, "name"),
        ([None], "objects"),
    ],
)
async def test_bodies_of_the_wrong_form(api: Api, kind: str, body: Any, point: str):
    """A body that is neither an object nor a bounded list of them is refused."""
    await assert_refused(api, f"/{kind}/", body, point)


@pytest.mark.parametrize("kind", ["drives", "servers"])
@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"{'a': 1}",
        b'{"size": NaN}',
        b'{"name": "\\ud800"}',
        b'{"name": "\xff"}',
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b'{"a":' * 40_000,
        b"\0",
    ],
)
async def test_bodies_that_are_no_json(api: Api, kind: str, body: bytes):
    """Malformed JSON, lone surrogates and bottomless nesting are a 400 without a point."""
    answer = await api.call(
        "POST", f"/{kind}/", data=body, headers={"Content-Type": "application/json"}
    )
    assert answer.error == (400, "validation", None)


async def test_an_action_takes_an_object(api: Api):
    """The body of an action is an object."""
    drive = await api.drive()
    for body in ([], [{}], "x", 1, True):
        answer = await api.post(f"/drives/{drive}/action/?do=clone", body)
        assert answer.error == (400, "validation", None)


@pytest.mark.parametrize("kind", ["jobs", "drives", "servers"])
@pytest.mark.parametrize("name", ["limit", "offset"])
@pytest.mark.parametrize(
    "value", ["-1", "x", "", "1.5", "+1", "1_0", "%20", "%D9%A1", "9" * 19, "9" * 5000]
)
async def test_bad_paging(api: Api, kind: str, name: str, value: str):
    """A limit or offset that is no number from 0 up is a 400 with its name as the point."""
    assert (await api.get(f"/{kind}/?{name}={value}")).error == (400, "validation", name)


async def test_the_last_of_several_limits_counts(api: Api):
    """Of a repeated limit the last one counts."""
    answer = await api.get("/jobs/?limit=x&limit=7")
    assert answer.json["meta"]["limit"] == 7
