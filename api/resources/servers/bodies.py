"""Servers, as clients send them and as they are shown."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any, Literal, get_args

from msgspec import Meta, Struct
from msgspec.structs import asdict

from api.http.errors import BadRequest
from api.http.fields import (
    LIST_LIMIT,
    Count,
    GivenTags,
    Grantees,
    Jobs,
    NoObjects,
    Owner,
    Permissions,
    Reference,
    Representation,
    ResourceMeta,
    ResourceUri,
    ResourceUuid,
    Tags,
    Text,
    TextList,
    Uuid,
    UuidList,
    about,
    make_partial,
)
from api.http.not_applied import differing
from ledger.domain.aggregates.server import CPU_PER_SMP_LEAST_MHZ, sorted_mounts
from ledger.domain.commands import servers as commands
from ledger.domain.events import servers
from ledger.domain.events.servers import PowerAction, ServerDefinition
from projections.views.read_models import ServerView

CPU_LEAST_MHZ = 250
CPU_MOST_MHZ = 96_000
CPU_PER_SMP_MOST_MHZ = 3000
MEM_LEAST = 256 * 1024**2
MEM_MOST = 128 * 1024**3
SMP_MOST = 32
BOOT_ORDER_MOST = 1000

ServerStatus = Literal["stopped", "starting", "running", "stopping", "unavailable", "paused"]

_IDE_CHANNELS = frozenset({"0:0", "0:1", "1:0", "1:1"})
_CHANNEL = re.compile("(0|[1-9][0-9]?|1[0-9]{2}|20[0-2]):[0-5]")
"""A controller, 0 to 202, and a unit."""

_Smp = Annotated[int, Meta(ge=1, le=SMP_MOST)]
_BootOrder = Annotated[int, Meta(ge=0, le=BOOT_ORDER_MOST)]
_Objects = Annotated[
    tuple[dict[str, Text | int | float | bool | None], ...], Meta(max_length=LIST_LIMIT)
]


class ServerFields(Struct, kw_only=True):
    """The fields of a server that clients send and are shown."""

    name: Annotated[Text, about("Human readable name; may be empty.")]
    cpu: Annotated[
        int, about("Processor clock in MHz, 250 to 96000.", ge=CPU_LEAST_MHZ, le=CPU_MOST_MHZ)
    ]
    mem: Annotated[int, about("Memory in bytes, 256 MiB to 128 GiB.", ge=MEM_LEAST, le=MEM_MOST)]
    vnc_password: Annotated[Text, about("Password of the VNC console.")]
    cpu_type: Annotated[Text, about("Processor type.", choices=("amd", "intel"))] = "amd"
    cpu_model: Annotated[Text | None, about("Processor model.")] = None
    hypervisor: Annotated[Text, Meta(extra={"choices": ("kvm",)})] = "kvm"
    auto_start: Annotated[bool, about("Whether the server starts with its host.")] = False
    context: Annotated[bool, about("Whether the server can read its definition.")] = True
    cpus_instead_of_cores: Annotated[bool, about("Whether cores are shown as processors.")] = False
    enable_numa: Annotated[bool, about("Whether NUMA is shown to the guest.")] = False
    hv_relaxed: Annotated[bool, about("Hyper-V relaxed timers.")] = False
    hv_tsc: Annotated[bool, about("Hyper-V time stamp counter.")] = False
    meta: ResourceMeta = {}
    requirements: Annotated[TextList, about("Requirements of the host.")] = ()
    gpus: Annotated[_Objects, about("Graphics processors.")] = ()
    epcs: Annotated[_Objects, about("Enclave page caches.")] = ()


class MountFields(Struct, kw_only=True):
    """The fields of an attached drive that clients send and are shown."""

    boot_order: Annotated[_BootOrder | None, about("Place in the boot order.")] = None
    dev_channel: Annotated[
        str,
        about(
            "Controller and unit, as `0:1`.", extra_json_schema={"pattern": f"^{_CHANNEL.pattern}$"}
        ),
    ]
    device: Annotated[
        servers.Device, about("Kind of device.", title="Device", choices=get_args(servers.Device))
    ]


class NicFields(Struct, kw_only=True):
    """The fields of a network card that clients send and are shown."""

    boot_order: Annotated[_BootOrder | None, about("Place in the boot order.")] = None
    model: Annotated[
        servers.NicModel,
        about("Model of the card.", title="NicModel", choices=get_args(servers.NicModel)),
    ] = "virtio"


# What clients send


class GivenMount(MountFields, kw_only=True):
    """A drive to attach; ide has the channels 0:0, 0:1, 1:0 and 1:1."""

    drive: Uuid


class HasUuid(Struct):
    uuid: Text


class GivenIpConf(Struct, kw_only=True):
    conf: servers.IpMode
    ip: Annotated[Text | HasUuid | None, about("Needed with static, and with no other.")] = None


class GivenNic(NicFields, kw_only=True):
    mac: (
        Annotated[
            str,
            about(
                "Drawn if none is given.",
                max_length=17,
                pattern="^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$",
            ),
        ]
        | None
    ) = None
    ip_v4_conf: GivenIpConf | None = None
    ip_v6_conf: GivenIpConf | None = None
    vlan: Annotated[Uuid | None, about("Not together with an ip conf.")] = None
    firewall_policy: Uuid | None = None


class NewServer(ServerFields, kw_only=True):
    """A server, which is stopped at first."""

    smp: Annotated[
        _Smp | None, about("Each has at least 1000 MHz. If not given, as few as can carry the cpu.")
    ] = None
    pubkeys: UuidList = ()
    tags: GivenTags = ()
    drives: Annotated[tuple[GivenMount, ...], Meta(max_length=LIST_LIMIT)] = ()
    nics: Annotated[tuple[GivenNic, ...], Meta(max_length=LIST_LIMIT)] = ()


ServerEdit = make_partial("ServerEdit", NewServer)
ServerClone = make_partial(
    "ServerClone",
    NewServer,
    random_vnc_password=Annotated[
        bool, about("Whether the clone gets a new password; if none is given, the source's.")
    ],
)


# What is shown


class DriveIo(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Counters, all 0 because nothing really runs; so are those of network cards."""

    bytes_read: Count = 0
    bytes_written: Count = 0
    count_flush: Count = 0
    count_read: Count = 0
    count_written: Count = 0
    total_time_ns_flush: Count = 0
    total_time_ns_read: Count = 0
    total_time_ns_write: Count = 0


class MountRuntime(Struct, kw_only=True, forbid_unknown_fields=True):
    io: DriveIo = DriveIo()


class Mount(MountFields, kw_only=True, forbid_unknown_fields=True):
    """A drive of a server. Drives are sorted by device, controller and unit."""

    drive: Annotated[Reference, about("The drive.")]
    runtime: Annotated[MountRuntime | None, about("State of the device at this moment.")] = None


class NicIo(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    bytes_recv: Count = 0
    bytes_sent: Count = 0
    packets_recv: Count = 0
    packets_sent: Count = 0


class NicRuntime(Struct, kw_only=True, forbid_unknown_fields=True):
    interface_type: Literal["public", "private"]
    io: NicIo = NicIo()
    ip_v4: Reference | None = None
    ip_v6: Reference | None = None


class RuntimeNic(NicRuntime, kw_only=True, forbid_unknown_fields=True):
    mac: str


class IpConf(Struct, kw_only=True, forbid_unknown_fields=True):
    conf: servers.IpMode
    ip: Reference | None = None


class Nic(NicFields, kw_only=True, forbid_unknown_fields=True):
    firewall_policy: Reference | None = None
    ip_v4_conf: Annotated[IpConf | None, about("IPv4 configuration; not together with vlan.")] = (
        None
    )
    ip_v6_conf: Annotated[IpConf | None, about("IPv6 configuration; not together with vlan.")] = (
        None
    )
    mac: Annotated[
        str, about("MAC address; drawn if not given.", pattern="^[0-9a-f]{2}(:[0-9a-f]{2}){5}$")
    ]
    runtime: Annotated[NicRuntime | None, about("State of the card at this moment.")] = None
    vlan: Annotated[Reference | None, about("VLAN the card is connected to.")] = None


class ServerRuntime(Struct, kw_only=True, forbid_unknown_fields=True):
    active_since: Annotated[
        str,
        about(
            "UTC, without a fraction of a second.",
            pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$",
        ),
    ]
    nics: tuple[RuntimeNic, ...] = ()


class StoppedRuntime(Representation, frozen=True):
    """The runtime of a server that is not running, where one must be shown."""

    active_since: None = None
    nics: NoObjects = ()


class ServerActionResult(Representation, frozen=True, kw_only=True):
    action: PowerAction
    result: Literal["success"] = "success"
    uuid: Uuid


class Server(ServerFields, kw_only=True, forbid_unknown_fields=True):
    """A server; each `runtime` in it is null while it is stopped."""

    drives: Annotated[tuple[Mount, ...], about("Attached drives.")] = ()
    grantees: Grantees = ()
    jobs: Jobs = ()
    nics: Annotated[tuple[Nic, ...], about("Network cards.")] = ()
    owner: Owner = None
    permissions: Permissions = ()
    pubkeys: Annotated[tuple[Reference, ...], about("Public keys.")] = ()
    resource_uri: ResourceUri
    runtime: Annotated[ServerRuntime | None, about("State of the server at this moment.")] = None
    smp: Annotated[_Smp, about("Processors, 1 to 32; derived from cpu if not given.")] = 1
    status: Annotated[
        ServerStatus,
        about("Status of the resource.", title="ServerStatus", choices=get_args(ServerStatus)),
    ]
    tags: Tags = ()
    uuid: ResourceUuid


# Rules


def new_server(said: NewServer, *, server: str, new_mac: Callable[[], str]) -> commands.NewServer:
    fields = {name: getattr(said, name) for name in ServerDefinition.__struct_fields__}
    return commands.NewServer(
        server=server,
        definition=ServerDefinition(**{**fields, "smp": _smp(said)}),
        mounts=_mounts(said.drives),
        nics=_nics(said.nics, new_mac),
        vnc_password=said.vnc_password,
        tags=said.tags,
    )


def server_edit(
    said: Struct, *, owner: str, server: str, new_mac: Callable[[], str]
) -> commands.EditServer:
    """Return the edit: what is not given stays. Whole answers of GET are accepted too."""
    given = asdict(said)
    mounts, nics = given["drives"], given["nics"]
    return commands.EditServer(
        owner=owner,
        server=server,
        edit=_definition_edit(given),
        mounts=None if mounts is None else _mounts(mounts),
        nics=None if nics is None else _nics(nics, new_mac),
        vnc_password=given["vnc_password"],
        tags=given["tags"],
    )


def ignored(edit: commands.EditServer, server: ServerView) -> list[str]:
    """Return the fields that the edit gives and the server does not have, because it runs."""
    given = {**asdict(edit.edit), "name": None, "meta": None}
    found = differing(given, server.definition)
    if edit.mounts is not None and sorted_mounts(edit.mounts) != server.mounts:
        found.append("drives")
    return found + differing({"nics": edit.nics, "vnc_password": edit.vnc_password}, server)


def server_clone(
    said: Struct,
    *,
    owner: str,
    source: str,
    destination: str,
    job: str,
    new_password: Callable[[], str],
    avoid: tuple[str, ...],
) -> commands.CloneServer:
    """Return the clone; its drives and cards are made of the source's, and cannot be given."""
    given = asdict(said)
    for field in ("drives", "nics"):
        if given[field] is not None:
            raise _wrong(field, "come from the server that is cloned: change them afterwards")
    vnc_password = given["vnc_password"]
    if given["random_vnc_password"]:
        if vnc_password is not None:
            raise _wrong("vnc_password", "is either given or random")
        vnc_password = new_password()
    return commands.CloneServer(
        owner=owner,
        source=source,
        destination=destination,
        job=job,
        edit=_definition_edit(given),
        vnc_password=vnc_password,
        tags=given["tags"],
        avoid=avoid,
    )


def _definition_edit(given: Mapping[str, Any]) -> commands.ServerEdit:
    return commands.ServerEdit(
        **{name: given[name] for name in commands.ServerEdit.__struct_fields__}
    )


def _smp(said: NewServer) -> int:
    """Return the number that is given, or else the fewest that can carry this much `cpu`."""
    if said.smp is None:
        return max(1, -(-said.cpu // CPU_PER_SMP_MOST_MHZ))
    if said.smp > 1 and said.cpu < said.smp * CPU_PER_SMP_LEAST_MHZ:
        raise BadRequest(f"smp must leave each {CPU_PER_SMP_LEAST_MHZ} MHz of cpu", point="smp")
    return said.smp


def _mounts(given: Iterable[GivenMount]) -> tuple[servers.Mount, ...]:
    mounts = tuple(_mount(each) for each in given)
    if _repeats([(mount.device, mount.dev_channel) for mount in mounts]):
        raise _wrong("drives", "must not have two at one device and dev_channel")
    if _repeats([mount.drive for mount in mounts]):
        raise _wrong("drives", "must not have one twice")
    return mounts


def _mount(given: GivenMount) -> servers.Mount:
    ide, channel = given.device == "ide", given.dev_channel
    if channel not in _IDE_CHANNELS and (ide or not _CHANNEL.fullmatch(channel)):
        raise _wrong("drives", f"have no controller and unit {channel:.9} of {given.device}")
    return servers.Mount(given.drive, given.device, channel, given.boot_order)


def _nics(given: Iterable[GivenNic], new_mac: Callable[[], str]) -> tuple[servers.Nic, ...]:
    nics = tuple(_nic(each, new_mac) for each in given)
    if _repeats([nic.mac for nic in nics]):
        raise _wrong("nics", "must not have a mac twice")
    return nics


def _nic(given: GivenNic, new_mac: Callable[[], str]) -> servers.Nic:
    if given.vlan is not None and (given.ip_v4_conf or given.ip_v6_conf):
        raise _wrong("nics", "cannot have vlan together with ip_v4_conf or ip_v6_conf")
    return servers.Nic(
        mac=new_mac() if given.mac is None else given.mac.lower(),
        model=given.model,
        ip_v4_conf=_ip_conf(given.ip_v4_conf, IPv4Address),
        ip_v6_conf=_ip_conf(given.ip_v6_conf, IPv6Address),
        vlan=given.vlan,
        firewall_policy=given.firewall_policy,
        boot_order=given.boot_order,
    )


def _ip_conf(
    given: GivenIpConf | None, address: type[IPv4Address] | type[IPv6Address]
) -> servers.IpConf | None:
    if given is None:
        return None
    ip = given.ip.uuid if isinstance(given.ip, HasUuid) else given.ip
    if (given.conf == "static") != (ip is not None):
        raise _wrong("nics", "need an ip with conf static, and with no other")
    if ip is None:
        return servers.IpConf(given.conf)
    wrong = _wrong("nics", f"need an ip of their kind, unlike {ip:.45}")
    if "%" in ip:  # the name of an interface of one machine
        raise wrong
    try:
        return servers.IpConf(given.conf, str(address(ip)))
    except ValueError:
        raise wrong from None


def _wrong(field: str, what: str) -> BadRequest:
    return BadRequest(f"{field} {what}", point=field)


def _repeats(values: Sequence[object]) -> bool:
    return len(set(values)) < len(values)
