"""Servers as the API shows them."""

from collections.abc import Mapping
from datetime import datetime

from msgspec.structs import asdict

from api.resources.drives.representation import DRIVE_LIST_FIELDS
from api.resources.references import (
    job_references,
    reference_or_none,
    reference_to,
    references,
)
from api.resources.servers.bodies import (
    IpConf,
    Mount,
    MountRuntime,
    Nic,
    NicRuntime,
    RuntimeNic,
    Server,
    ServerRuntime,
)
from api.text.urls import API_ROOT
from ledger.domain.events import servers
from projections.views.read_models import ServerView

SERVER_LIST_FIELDS = DRIVE_LIST_FIELDS | {"runtime"}


def represent_server(server: ServerView) -> Server:
    """Return a server; the counters of a running one are all 0, because nothing really runs."""
    definition = server.definition
    runs = server.active_since is not None
    given = _given(server)
    return Server(
        **{**asdict(definition), "pubkeys": references("pubkeys", definition.pubkeys)},
        drives=tuple(_mount(mount, runs=runs) for mount in server.mounts),
        jobs=job_references(server.jobs),
        nics=tuple(_nic(nic, _ip_of(nic, given), runs=runs) for nic in server.nics),
        owner=reference_to("user", server.owner),
        resource_uri=f"{API_ROOT}/servers/{server.uuid}/",
        runtime=_runtime(server, given),
        status="running" if runs else "stopped",
        tags=references("tags", server.tags),
        uuid=server.uuid,
        vnc_password=server.vnc_password,
    )


def _given(server: ServerView) -> Mapping[str, str]:
    """Return the addresses that cards got by DHCP, by mac."""
    return {address.mac: address.ip for address in server.addresses}


def _runtime(server: ServerView, given: Mapping[str, str]) -> ServerRuntime | None:
    if server.active_since is None:
        return None
    since = datetime.fromisoformat(server.active_since).isoformat(timespec="seconds")
    nics = (
        RuntimeNic(**asdict(_nic_runtime(nic, _ip_of(nic, given))), mac=nic.mac)
        for nic in server.nics
    )
    return ServerRuntime(active_since=since, nics=tuple(nics))


def _ip_of(nic: servers.Nic, given: Mapping[str, str]) -> str | None:
    """Return the card's IPv4 address: the one that it got by DHCP, or the configured one."""
    static = None if nic.ip_v4_conf is None else nic.ip_v4_conf.ip
    return given.get(nic.mac, static)


def _nic_runtime(nic: servers.Nic, ip: str | None) -> NicRuntime:
    v6 = nic.ip_v6_conf
    return NicRuntime(
        interface_type="public" if nic.vlan is None else "private",
        ip_v4=reference_or_none("ips", ip),
        ip_v6=None if v6 is None else reference_or_none("ips", v6.ip),
    )


def _mount(mount: servers.Mount, *, runs: bool) -> Mount:
    return Mount(
        boot_order=mount.boot_order,
        dev_channel=mount.dev_channel,
        device=mount.device,
        drive=reference_to("drives", mount.drive),
        runtime=MountRuntime() if runs else None,
    )


def _nic(nic: servers.Nic, ip: str | None, *, runs: bool) -> Nic:
    return Nic(
        boot_order=nic.boot_order,
        firewall_policy=reference_or_none("fwpolicies", nic.firewall_policy),
        ip_v4_conf=_ip_conf(nic.ip_v4_conf),
        ip_v6_conf=_ip_conf(nic.ip_v6_conf),
        mac=nic.mac,
        model=nic.model,
        runtime=_nic_runtime(nic, ip) if runs else None,
        vlan=reference_or_none("vlans", nic.vlan),
    )


def _ip_conf(conf: servers.IpConf | None) -> IpConf | None:
    if conf is None:
        return None
    return IpConf(conf=conf.conf, ip=reference_or_none("ips", conf.ip))
