"""What tests of outcomes record in a ledger, and how they see whether it is there."""

from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

from ledger.domain.aggregates.drive import Drive
from ledger.domain.commands import Command
from ledger.domain.commands.drives import (
    CloneDrive,
    CreateDrives,
    DeleteDrives,
    EditDrive,
    MarkDriveReady,
    NewDrive,
)
from ledger.domain.commands.tags import CreateTags, NewTag
from ledger.store.seam import Cursor
from ledger.store.tables import sessions
from tests.support.opened import Opened
from tests.support.world import ME, START, disk


class Recorded(NamedTuple):
    """What is done to a ledger, and whether it is there."""

    run: Callable[[Opened], object]
    is_there: Callable[[Opened], bool]


def begin(opened: Opened) -> None:
    """Record what the commands need."""
    opened.do(CreateDrives(ME, (NewDrive("old", disk()),), "blank"), MarkDriveReady("old"))
    opened.ledger.exclusive(_add_account).result()


def _add_account(cursor: Cursor) -> None:
    cursor.execute("INSERT INTO accounts VALUES (?, 'ada', 'user', '!', 1, 'now')", (ME,))


def _log_in(cursor: Cursor) -> None:
    added = sessions.add(
        cursor,
        id_hash=b"id",
        account=ME,
        password_version=1,
        csrf_hash=b"csrf",
        created=START,
        expires=START + timedelta(days=1),
    )
    assert added


def _is_logged_in(opened: Opened) -> bool:
    def read(cursor: Cursor) -> bool:
        cursor.execute("SELECT count(*) FROM sessions")
        return bool(cursor.fetchone()[0])

    return opened.ledger.read(read)


def _old(opened: Opened) -> Drive:
    drive = opened.ledger.drive("old")
    assert drive is not None
    return drive


def _command(command: Command, is_there: Callable[[Opened], bool]) -> Recorded:
    return Recorded(lambda opened: opened.do(command), is_there)


COMMANDS = {
    "creation": _command(
        CreateDrives(ME, (NewDrive("new", disk()),), "blank"),
        lambda opened: opened.ledger.drive("new") is not None,
    ),
    "login": Recorded(lambda opened: opened.ledger.exclusive(_log_in).result(), _is_logged_in),
    "edit": _command(
        EditDrive(owner=ME, drive="old", name="renamed"),
        lambda opened: _old(opened).definition.name == "renamed",
    ),
    "clone": _command(
        CloneDrive(ME, "old", "copy", "job"), lambda opened: opened.ledger.job("job") is not None
    ),
    "deletion": _command(DeleteDrives(ME, ("old",)), lambda opened: bool(_old(opened).deleted)),
    "tag": _command(
        CreateTags(ME, (NewTag("tag", "hazel", {}, ()),)),
        lambda opened: opened.current("tag-tag") is not None,
    ),
}
