"""A server: its state, and how events change it. Every server here is stopped: nothing runs it."""

from datetime import datetime
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from ledger.events import (
    Mount,
    Nic,
    Recorded,
    ServerChanged,
    ServerCreated,
    ServerDefinition,
    ServerDeleted,
    ServerEvent,
)


class Server(Struct, frozen=True, gc=False):
    """A server as its own stream tells it; `mounts` in the order of `sorted_mounts`."""

    uuid: str
    owner: str
    definition: ServerDefinition
    mounts: tuple[Mount, ...]
    nics: tuple[Nic, ...]
    created: datetime
    deleted: bool = False


def sorted_mounts(mounts: tuple[Mount, ...]) -> tuple[Mount, ...]:
    """Mounts by device, controller and unit: the one order in which the API shows them."""
    return tuple(sorted(mounts, key=_place))


def _place(mount: Mount) -> tuple[str, int, int]:
    controller, unit = mount.dev_channel.split(":")
    return mount.device, int(controller), int(unit)


def evolve(server: Server | None, uuid: str, recorded: Recorded[ServerEvent]) -> Server:
    """The server after one more event of its stream."""
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
            return replace(server, mounts=sorted_mounts(event.mounts))
        case ServerDeleted():
            return replace(server, deleted=True, mounts=())
        case ServerCreated():
            raise AssertionError(f"server {uuid} created twice")
        case _:
            assert_never(event)
