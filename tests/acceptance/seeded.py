"""A data directory with an account, in which most things have happened to jobs of producers."""

from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from msgspec.structs import replace

from api.service.clocks import now
from ledger.store.tables import accounts
from ledger.store.writer import Caller
from tests.support.opened import Opened
from tests.support.producing import PRODUCED, named, registered, running


def uuid_of(name: str) -> str:
    """Return the uuid of a job of `PRODUCED`."""
    return str(uuid5(NAMESPACE_URL, name))


NAMES = {uuid_of(command.job): command.job for command in PRODUCED if hasattr(command, "job")}
LONG = "o" * 200
"""The longest name that an operation may have."""


def seed(data: Path, email: str) -> None:
    """Let all this happen to jobs of this account, before its service starts."""
    with Opened(data / "ledger.sqlite", now=now) as opened:
        account = opened.ledger.read(lambda cursor: accounts.find(cursor, email))
        assert account is not None
        wordy = replace(running("wordy"), operation=LONG, registered=registered(source=LONG))
        commands = named((*PRODUCED, wordy), account.uuid, uuid_of)
        opened.do(*commands, by=Caller(account.uuid, "request-1"))
