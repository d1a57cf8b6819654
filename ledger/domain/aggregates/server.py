"""A server: its state, and how events change it.

There is no hypervisor: a server "runs" if it is recorded as started.

    stopped ──> running     (start)
    running ──> stopped     (stop, shutdown)
       └──────> running     (restart)
"""

from datetime import datetime
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from ledger.domain.events import Recorded
from ledger.domain.events.servers import (
    Address,
    Mount,
    Nic,
    Power,
    ServerChanged,
    ServerCreated,
    ServerDefinition,
    ServerDeleted,
    ServerEvent,
    ServerPowerChanged,
)

CPU_PER_SMP_LEAST_MHZ = 1000
"""The least cpu for each of several smp."""


class Server(Struct, frozen=True, gc=False):
    """A server, folded from its stream; `mounts` are in the order of `sorted_mounts`.

    While it runs it is on a compute `host`, since `active_since`, and its cards with DHCP have
    `addresses`, unless it was started by a version that recorded none.
    """

    uuid: str
    owner: str
    definition: ServerDefinition
    mounts: tuple[Mount, ...]
    nics: tuple[Nic, ...]
    created: datetime
    power: Power = "stopped"
    host: str | None = None
    addresses: tuple[Address, ...] = ()
    active_since: datetime | None = None
    deleted: datetime | None = None

    def attached(self) -> tuple[str, ...]:
        """Return the drives that the server mounts, then its keypairs; none if it is deleted."""
        if self.deleted:
            return ()
        return (*(mount.drive for mount in self.mounts), *self.definition.pubkeys)

    def macs_with_dhcp(self) -> frozenset[str]:
        """Return the macs of the cards that get their IPv4 addresses by DHCP."""
        return frozenset(nic.mac for nic in self.nics if gets_address(nic))

    def ips(self) -> dict[str, str | None]:
        """Return the addresses in use, each with its network, which is unknown if it is static.

        A stopped server uses none.
        """
        if self.power == "stopped":
            return {}
        confs = [conf for nic in self.nics for conf in (nic.ip_v4_conf, nic.ip_v6_conf)]
        static = {conf.ip: None for conf in confs if conf is not None and conf.ip is not None}
        return static | {each.ip: each.network for each in self.addresses}


def gets_address(nic: Nic) -> bool:
    """Return whether the card gets its IPv4 address by DHCP."""
    return nic.ip_v4_conf is not None and nic.ip_v4_conf.conf == "dhcp"


def sorted_mounts(mounts: tuple[Mount, ...]) -> tuple[Mount, ...]:
    """Sort mounts by device, controller and unit, the order in which the API shows them."""
    return tuple(sorted(mounts, key=_sort_key))


def _sort_key(mount: Mount) -> tuple[str, int, int]:
    controller, unit = mount.dev_channel.split(":")
    return mount.device, int(controller), int(unit)


def evolve(server: Server | None, uuid: str, recorded: Recorded[ServerEvent]) -> Server:
    """Return the server after one more event of its stream."""
    event = recorded.event
    if server is None:
        assert isinstance(event, ServerCreated), f"a server's stream begins with {event}"
        return Server(
            uuid=uuid,
            owner=event.owner,
            definition=event.definition,
            mounts=sorted_mounts(event.mounts),
            nics=event.nics,
            created=recorded.recorded_at,
        )
    match event:
        case ServerChanged():
            return _change(server, event)
        case ServerPowerChanged():
            since = recorded.recorded_at if event.power == "running" else None
            return replace(
                server,
                power=event.power,
                host=event.host,
                addresses=event.addresses,
                active_since=since,
            )
        case ServerDeleted():
            return replace(server, deleted=recorded.recorded_at, mounts=())
        case ServerCreated():
            raise AssertionError(f"server {uuid} created twice")
        case _:
            assert_never(event)


def _change(server: Server, event: ServerChanged) -> Server:
    return replace(
        server,
        definition=server.definition if event.definition is None else event.definition,
        mounts=server.mounts if event.mounts is None else sorted_mounts(event.mounts),
        nics=server.nics if event.nics is None else event.nics,
    )
