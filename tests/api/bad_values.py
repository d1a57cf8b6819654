"""Values that no field of a drive or server accepts, and the point of the error that each gets."""

from typing import Any

from tests.api.calling import UNKNOWN

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
    ({"gpus": [{"a": []}]}, "gpus"),
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
    (nic(vlan={}), "nics"),
    (nic(firewall_policy={"name": "x"}), "nics"),
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
    (nic(ip_v6_conf={"conf": "static", "ip": "fe80::1%eth0"}), "nics"),
    (nic(boot_order=1.5), "nics"),
]

CLONES = [(said, point) for said, point in DRIVES if None not in said.values()]
