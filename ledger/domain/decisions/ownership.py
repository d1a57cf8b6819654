"""What an account may use: things of other accounts do not exist for it."""

from ledger.domain.aggregates.drive import Drive
from ledger.domain.aggregates.keypair import Keypair
from ledger.domain.aggregates.server import Server
from ledger.domain.context import State
from ledger.domain.errors.drives import DriveNotFound
from ledger.domain.errors.keypairs import KeypairNotFound
from ledger.domain.errors.servers import ServerNotFound


def own_drive(state: State, uuid: str, owner: str) -> Drive:
    """Return the account's drive. Raise `DriveNotFound`."""
    drive = state.drive(uuid)
    if drive is None or drive.owner != owner:
        raise DriveNotFound(uuid)
    return drive


def visible_drive(state: State, uuid: str, owner: str) -> Drive:
    """Return the account's drive, or one of the library. Raise `DriveNotFound`."""
    drive = state.drive(uuid)
    if drive is None or not drive.visible_to(owner):
        raise DriveNotFound(uuid)
    return drive


def own_server(state: State, uuid: str, owner: str) -> Server:
    """Return the account's server. Raise `ServerNotFound`."""
    server = state.server(uuid)
    if server is None or server.owner != owner:
        raise ServerNotFound(uuid)
    return server


def own_keypair(state: State, uuid: str, owner: str) -> Keypair:
    """Return the account's keypair. Raise `KeypairNotFound`."""
    keypair = state.keypair(uuid)
    if keypair is None or keypair.owner != owner:
        raise KeypairNotFound(uuid)
    return keypair
