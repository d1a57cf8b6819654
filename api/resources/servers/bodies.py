"""What clients say about servers, read from a body."""

import re
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address

from api.http.fields import Fields
from ledger.domain.aggregates.server import CPU_PER_SMP_LEAST_MHZ
from ledger.domain.commands import EditServer, NewServer, ServerEdit
from ledger.domain.events import (
    Device,
    IpConf,
    IpMode,
    Mount,
    Nic,
    NicModel,
    Scalar,
    ServerDefinition,
)

CPU_LEAST_MHZ = 250
CPU_MOST_MHZ = 96_000
CPU_PER_SMP_MOST_MHZ = 3000
MEM_LEAST = 256 * 1024**2
MEM_MOST = 128 * 1024**3
SMP_MOST = 32
CONTROLLER_MOST = 202
UNIT_MOST = 5
BOOT_ORDER_MOST = 1000

DEVICES: tuple[Device, ...] = ("ide", "virtio", "scsi")
NIC_MODELS: tuple[NicModel, ...] = ("virtio", "e1000", "rtl8139")
IP_MODES: tuple[IpMode, ...] = ("dhcp", "static", "manual")

_IDE_CHANNELS = frozenset({"0:0", "0:1", "1:0", "1:1"})
_CHANNEL = re.compile(r"(0|[1-9][0-9]{0,2}):([0-9])")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


def new_server(fields: Fields, *, server: str, new_mac: Callable[[], str]) -> NewServer:
    fields.require("name", "cpu", "mem", "vnc_password")
    return NewServer(
        server=server,
        definition=_definition(fields),
        mounts=_mounts(fields) or (),
        nics=_nics(fields, new_mac) or (),
        vnc_password=fields.text("vnc_password", ""),
    )


def server_edit(
    fields: Fields, *, owner: str, server: str, new_mac: Callable[[], str]
) -> EditServer:
    """A change; what is not given stays. Whole answers of GET are taken too."""
    return EditServer(
        owner=owner,
        server=server,
        edit=_edit(fields),
        mounts=_mounts(fields),
        nics=_nics(fields, new_mac),
        vnc_password=fields.text("vnc_password", None),
        tags=fields.references("tags", None),
    )


def _edit(fields: Fields) -> ServerEdit:
    return ServerEdit(
        name=fields.text("name", None),
        cpu=fields.whole("cpu", None, least=CPU_LEAST_MHZ, most=CPU_MOST_MHZ),
        mem=fields.whole("mem", None, least=MEM_LEAST, most=MEM_MOST),
        smp=fields.whole("smp", None, least=1, most=SMP_MOST),
        cpu_type=fields.text("cpu_type", None),
        cpu_model=fields.text("cpu_model", None),
        hypervisor=fields.text("hypervisor", None),
        auto_start=fields.flag("auto_start", default=None),
        context=fields.flag("context", default=None),
        cpus_instead_of_cores=fields.flag("cpus_instead_of_cores", default=None),
        enable_numa=fields.flag("enable_numa", default=None),
        hv_relaxed=fields.flag("hv_relaxed", default=None),
        hv_tsc=fields.flag("hv_tsc", default=None),
        meta=fields.meta("meta", None),
        requirements=fields.texts("requirements", None),
        pubkeys=fields.references("pubkeys", None),
        gpus=_scalars(fields, "gpus"),
        epcs=_scalars(fields, "epcs"),
    )


def _scalars(fields: Fields, name: str) -> tuple[dict[str, Scalar], ...] | None:
    entries = fields.items(name)
    return None if entries is None else tuple(entry.scalars() for entry in entries)


def _definition(fields: Fields) -> ServerDefinition:
    cpu = fields.whole("cpu", 0, least=CPU_LEAST_MHZ, most=CPU_MOST_MHZ)
    return ServerDefinition(
        name=fields.text("name", ""),
        cpu=cpu,
        mem=fields.whole("mem", 0, least=MEM_LEAST, most=MEM_MOST),
        smp=_smp(fields, cpu),
        cpu_type=fields.text("cpu_type", "amd"),
        cpu_model=fields.text("cpu_model", None),
        hypervisor=fields.text("hypervisor", "kvm"),
        auto_start=fields.flag("auto_start", default=False),
        context=fields.flag("context", default=True),
        cpus_instead_of_cores=fields.flag("cpus_instead_of_cores", default=False),
        enable_numa=fields.flag("enable_numa", default=False),
        hv_relaxed=fields.flag("hv_relaxed", default=False),
        hv_tsc=fields.flag("hv_tsc", default=False),
        meta=fields.meta("meta", {}),
        requirements=fields.texts("requirements", ()),
        pubkeys=fields.references("pubkeys", ()),
        gpus=_scalars(fields, "gpus") or (),
        epcs=_scalars(fields, "epcs") or (),
    )


def _smp(fields: Fields, cpu: int) -> int:
    """As many as are given, else as few as can carry this much `cpu`."""
    smp = fields.whole("smp", None, least=1, most=SMP_MOST)
    if smp is None:
        return max(1, -(-cpu // CPU_PER_SMP_MOST_MHZ))
    if smp > 1 and cpu < smp * CPU_PER_SMP_LEAST_MHZ:
        raise fields.wrong("smp", f"must leave each of them {CPU_PER_SMP_LEAST_MHZ} MHz of cpu")
    return smp


def _mounts(fields: Fields) -> tuple[Mount, ...] | None:
    entries = fields.items("drives")
    if entries is None:
        return None
    mounts = tuple(_mount(given) for given in entries)
    if _repeats([(mount.device, mount.dev_channel) for mount in mounts]):
        raise fields.wrong("drives", "must not have two drives at one device and dev_channel")
    if _repeats([mount.drive for mount in mounts]):
        raise fields.wrong("drives", "must not have a drive twice")
    return mounts


def _mount(fields: Fields) -> Mount:
    fields.require("drive", "device", "dev_channel")
    device: Device = fields.one_of("device", DEVICES, "virtio")
    channel = fields.text("dev_channel", "")
    if not _is_channel(device, channel):
        raise fields.wrong("dev_channel", f"is no controller and unit that {device} has")
    return Mount(fields.reference("drive", ""), device, channel, _boot_order(fields))


def _is_channel(device: Device, channel: str) -> bool:
    if device == "ide":
        return channel in _IDE_CHANNELS
    found = _CHANNEL.fullmatch(channel)
    if found is None:
        return False
    controller, unit = map(int, found.groups())
    return controller <= CONTROLLER_MOST and unit <= UNIT_MOST


def _nics(fields: Fields, new_mac: Callable[[], str]) -> tuple[Nic, ...] | None:
    entries = fields.items("nics")
    if entries is None:
        return None
    nics = tuple(_nic(given, new_mac) for given in entries)
    if _repeats([nic.mac for nic in nics]):
        raise fields.wrong("nics", "must not have a mac twice")
    return nics


def _nic(fields: Fields, new_mac: Callable[[], str]) -> Nic:
    nic = Nic(
        mac=_mac(fields) or new_mac(),
        model=fields.one_of("model", NIC_MODELS, "virtio"),
        ip_v4_conf=_ip_conf(fields, "ip_v4_conf", IPv4Address),
        ip_v6_conf=_ip_conf(fields, "ip_v6_conf", IPv6Address),
        vlan=fields.reference("vlan", None),
        firewall_policy=fields.reference("firewall_policy", None),
        boot_order=_boot_order(fields),
    )
    if nic.vlan is not None and (nic.ip_v4_conf or nic.ip_v6_conf):
        raise fields.wrong("vlan", "cannot be had together with ip_v4_conf or ip_v6_conf")
    return nic


def _mac(fields: Fields) -> str | None:
    mac = fields.text("mac", None)
    if mac is not None and not _MAC.fullmatch(mac.lower()):
        raise fields.wrong("mac", "must be six bytes in hexadecimal with colons between them")
    return mac and mac.lower()


def _ip_conf(
    nic: Fields, name: str, address: type[IPv4Address] | type[IPv6Address]
) -> IpConf | None:
    fields = nic.item(name)
    if fields is None:
        return None
    fields.require("conf")
    mode: IpMode = fields.one_of("conf", IP_MODES, "dhcp")
    ip = fields.address("ip", None)
    if (mode == "static") != (ip is not None):
        raise fields.wrong("ip", "is needed with conf static, and with no other")
    return IpConf(mode, None if ip is None else _ip(fields, ip, address))


def _ip(fields: Fields, text: str, address: type[IPv4Address] | type[IPv6Address]) -> str:
    try:
        return str(address(text))
    except ValueError:
        raise fields.wrong("ip", "is no address of its kind") from None


def _boot_order(fields: Fields) -> int | None:
    return fields.whole("boot_order", None, least=0, most=BOOT_ORDER_MOST)


def _repeats(values: Sequence[object]) -> bool:
    return len(set(values)) < len(values)
