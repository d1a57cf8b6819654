"""Predictable ids, MACs, pools and time, and drives and servers to begin with."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network
from itertools import count

from ledger.domain.context import Fact, PoolSpace
from ledger.domain.errors import Refusal
from ledger.domain.events.drives import (
    DriveCreated,
    DriveDefinition,
    DriveOrigin,
    DriveReady,
    drive_stream,
)
from ledger.domain.events.servers import Mount, Nic, ServerCreated, ServerDefinition, server_stream
from ledger.domain.quotas import NO_QUOTAS, Quotas
from ledger.images.pool_thread import Owed
from ledger.images.surveys import Images

ME = "account-1"
SOMEBODY_ELSE = "account-2"

GIB = 1024**3
START = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)

POOLS = (
    PoolSpace("fast", "dssd", 100 * GIB),
    PoolSpace("roomy", "dssd", 900 * GIB),
    PoolSpace("slow", "zadara", 500 * GIB),
)


HOSTS = ("host-a", "host-b", "host-c")


class Foreseen:
    """Environment: new ids are `new-1`, `new-2` and so on, new macs `22:00:00:00:00:01`."""

    def __init__(
        self,
        pools: tuple[PoolSpace, ...] = POOLS,
        prefix: str = "new",
        quotas: Quotas = NO_QUOTAS,
        addresses: str = "10.0.0.0/8",
        *,
        first_id: int = 1,
        first_mac: int = 1,
    ) -> None:
        self._pools = pools
        self.quotas = quotas
        self._prefix = prefix
        self._addresses = IPv4Network(addresses)
        self.apart: set[tuple[str, str]] = set()
        self.data: dict[str, int] = {}
        """How much data the images of drives have."""
        self._ids = count(first_id)
        self._macs = count(first_mac)

    def new_id(self) -> str:
        return f"{self._prefix}-{next(self._ids)}"

    def new_mac(self) -> str:
        return f"22:00:00:00:00:{next(self._macs):02x}"

    def pools(self) -> tuple[PoolSpace, ...]:
        return self._pools

    def renew(self) -> Sequence[Owed]:
        return ()

    def look(self, refusal: Refusal) -> Sequence[Owed]:
        raise refusal

    def measure(
        self, images: Images, found: dict[str, int | None], *, needed: bool = True
    ) -> Sequence[Owed]:
        found |= {drive: self.data.get(drive) for _, drive in images}
        return ()

    def within_reach(self, source: str, pool: str) -> bool:
        return (source, pool) not in self.apart

    def hosts(self) -> tuple[str, ...]:
        return HOSTS

    def address_range(self) -> IPv4Network:
        return self._addresses


class Ticking:
    """A clock that advances by a millisecond at each reading."""

    def __init__(self, start: datetime = START) -> None:
        self._start = start
        self._ticks = count()

    def __call__(self) -> datetime:
        return self._start + timedelta(milliseconds=next(self._ticks))


def disk(name: str = "disk", size: int = GIB, **more: object) -> DriveDefinition:
    return DriveDefinition(name, "disk", size, **{"storage_type": "dssd", **more})


def cdrom(name: str = "cdrom", size: int = GIB, **more: object) -> DriveDefinition:
    return DriveDefinition(name, "cdrom", size, **{"storage_type": "dssd", **more})


def machine(name: str = "server", **more: object) -> ServerDefinition:
    return ServerDefinition(name, 1000, GIB, 1, **more)


def mount(drive: str, nth: int = 0, **more: object) -> Mount:
    return Mount(drive, "virtio", f"0:{nth}", **more)


def drive_created(
    uuid: str,
    definition: DriveDefinition | None = None,
    *,
    owner: str = ME,
    pool: str = "fast",
    origin: DriveOrigin = "blank",
) -> Fact:
    return Fact(drive_stream(uuid), DriveCreated(owner, definition or disk(), pool, origin))


def drive_is_ready(uuid: str) -> Fact:
    return Fact(drive_stream(uuid), DriveReady())


def ready_drive(
    uuid: str,
    definition: DriveDefinition | None = None,
    *,
    owner: str = ME,
    pool: str = "fast",
) -> tuple[Fact, Fact]:
    """Return a drive with a complete image."""
    return drive_created(uuid, definition, owner=owner, pool=pool), drive_is_ready(uuid)


def server_created(
    uuid: str,
    *mounts: Mount,
    definition: ServerDefinition | None = None,
    nics: tuple[Nic, ...] = (),
    owner: str = ME,
) -> Fact:
    return Fact(server_stream(uuid), ServerCreated(owner, definition or machine(), mounts, nics))
