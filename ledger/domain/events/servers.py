"""What happens to a server."""

from typing import Literal

from ledger.domain.events.values import Closed

Power = Literal["stopped", "running"]


PowerAction = Literal["start", "stop", "shutdown", "restart"]


NicModel = Literal["virtio", "e1000", "rtl8139"]


Device = Literal["ide", "virtio", "scsi"]


IpMode = Literal["dhcp", "static", "manual"]


Scalar = str | int | float | bool | None


class Mount(Closed, frozen=True):
    """A drive attached to a server at a device and channel."""

    drive: str
    device: Device
    dev_channel: str
    boot_order: int | None = None


class IpConf(Closed, frozen=True):
    conf: IpMode
    ip: str | None = None


class Nic(Closed, frozen=True):
    mac: str
    model: NicModel = "virtio"
    ip_v4_conf: IpConf | None = None
    ip_v6_conf: IpConf | None = None
    vlan: str | None = None
    firewall_policy: str | None = None
    boot_order: int | None = None


class Address(Closed, frozen=True):
    """An IPv4 address that a card got by DHCP, and the network that it was drawn from."""

    mac: str
    ip: str
    network: str


class ServerDefinition(Closed, frozen=True):
    """What the owner decides about a server; `cpu` is in MHz, `mem` in bytes."""

    name: str
    cpu: int
    mem: int
    smp: int
    cpu_type: str = "amd"
    cpu_model: str | None = None
    hypervisor: str = "kvm"
    auto_start: bool = False
    context: bool = True
    cpus_instead_of_cores: bool = False
    enable_numa: bool = False
    hv_relaxed: bool = False
    hv_tsc: bool = False
    meta: dict[str, str] = {}
    requirements: tuple[str, ...] = ()
    pubkeys: tuple[str, ...] = ()
    gpus: tuple[dict[str, Scalar], ...] = ()
    epcs: tuple[dict[str, Scalar], ...] = ()


class ServerCreated(Closed, frozen=True):
    owner: str
    definition: ServerDefinition
    mounts: tuple[Mount, ...] = ()
    nics: tuple[Nic, ...] = ()


class ServerChanged(Closed, frozen=True):
    """The given parts were replaced; None means that a part is unchanged."""

    mounts: tuple[Mount, ...] | None = None
    nics: tuple[Nic, ...] | None = None
    definition: ServerDefinition | None = None


class ServerPowerChanged(Closed, frozen=True):
    """The server was switched. If it runs: its compute host, and the addresses of its DHCP cards.

    Only this record exists.
    """

    action: PowerAction
    power: Power
    host: str | None = None
    addresses: tuple[Address, ...] = ()


class ServerDeleted(Closed, frozen=True):
    pass


ServerEvent = ServerCreated | ServerChanged | ServerPowerChanged | ServerDeleted


def server_stream(uuid: str) -> str:
    return f"server-{uuid}"
