"""The power of servers: transitions are recorded, and nothing more.

There is no hypervisor. A started server "runs" at once on a compute host, which is only a name; one
that is shut down has no guest to ask, and stops at once.
"""

from collections.abc import Iterator

from ledger.domain.aggregates.drive import Drive
from ledger.domain.aggregates.server import Server
from ledger.domain.commands.servers import ChangePower
from ledger.domain.context import Change, Environment, Fact, State
from ledger.domain.decisions.addresses import keep_addresses, start_addresses
from ledger.domain.decisions.ownership import own_server
from ledger.domain.decisions.placement import Crowded, hosts_to_avoid, place_server
from ledger.domain.errors.quotas import QuotaExceeded
from ledger.domain.errors.servers import AddressInUse, NoAddressLeft, ServerRunning, ServerStopped
from ledger.domain.events.servers import ServerPowerChanged, server_stream


def change_power(command: ChangePower, state: State, environment: Environment) -> Iterator[Change]:
    """Start a stopped server, or stop or restart a running one.

    Raise `ServerNotFound`, `ServerRunning`, `ServerStopped`, and for a start `DriveBusy` if a drive
    that the server mounts has no complete image or is being resized, `AddressInUse` if another
    running server has a static address of it, `NoAddressLeft`, and `QuotaExceeded`.
    """
    server = own_server(state, command.server, command.owner)
    yield Fact(server_stream(server.uuid), _switch(command, server, state, environment))


def _switch(
    command: ChangePower, server: Server, state: State, environment: Environment
) -> ServerPowerChanged:
    if command.action == "start":
        if server.power == "running":
            raise ServerRunning(server.uuid)
        for drive in _drives(state, server):
            drive.check_complete()
        avoid = hosts_to_avoid(state, command.avoid, command.owner)
        return _start(server, state, environment, avoid)
    if server.power == "stopped":
        raise ServerStopped(server.uuid)
    if command.action == "restart":
        addresses = keep_addresses(server, state, environment)
        return ServerPowerChanged("restart", "running", server.host, addresses)
    return ServerPowerChanged(command.action, "stopped")


def start_automatically(uuid: str, state: State, environment: Environment) -> Iterator[Change]:
    """Start a server that is complete now, if its owner wants that and it can run.

    It stays stopped if a drive that was attached meanwhile has no complete image, or if there is no
    address that it may have. A resize does not matter: it is over in a moment.
    """
    server = state.server(uuid)
    if server is None or not server.definition.auto_start or server.power == "running":
        return
    if not all(drive.ready for drive in _drives(state, server)):
        return
    try:
        started = _start(server, state, environment)
    except (AddressInUse, NoAddressLeft, QuotaExceeded):
        return
    yield Fact(server_stream(uuid), started)


def _start(
    server: Server, state: State, environment: Environment, avoid: Crowded = ()
) -> ServerPowerChanged:
    host = place_server(environment.hosts(), server.uuid, avoid=avoid)
    addresses = start_addresses(server, state, environment)
    return ServerPowerChanged("start", "running", host, addresses)


def _drives(state: State, server: Server) -> Iterator[Drive]:
    for mount in server.mounts:
        drive = state.drive(mount.drive)
        assert drive is not None, f"server {server.uuid} mounts a drive that is gone"
        yield drive
