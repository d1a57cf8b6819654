"""Moving a data directory's ledger out of SQLite into a PostgreSQL database.

    named (`moving`) -> copied -> verified -> the directory says where (`store`)
    -> no longer marked as unfinished there -> SQLite's file renamed -> `moving` removed

Before `store` is there, the ledger is the one in SQLite, and may be used between two attempts; each
attempt copies everything anew. From
then on it is the one in PostgreSQL; whoever is killed before `moving` is gone has left a directory
that nobody opens until the move is run again (`database_of`).
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from api.data.directory import data_lock
from api.data.location import (
    LEDGER_FILE,
    MOVED_FILE,
    MOVING_FILE,
    STORE_FILE,
    PostgresDatabase,
    remember,
    store_of,
    write_line,
)
from ledger.images.files import sync_directory
from ledger.proofs.keys import signer_of
from ledger.store.migrate import NotMoved, open_copy
from ledger.store.sqlite.connections import fold_wal
from projections.maintenance.migrate import Moved, Report, open_migration

Showing = Callable[[str, str], AbstractContextManager[Report]]
"""Shows a step of the move and its progress."""


def move(data: Path, url: str, *, new_id: Callable[[], str], showing: Showing) -> Moved | None:
    """Moves the ledger of this directory; blocks. None if only the end of a move was left to do.

    Raises `NotMoved`, `StoreFailed`, and `DataInUse` while a service runs. It may be run again.
    """
    _require_ledger(data)
    with data_lock(data):
        moved = None
        if _is_switched(data, url):
            with open_copy(url) as copy:
                copy.finish()
        else:
            moved = _copy_and_switch(data, url, new_id, showing)
        _set_aside(data)
        return moved


def _require_ledger(data: Path) -> None:
    """Raise `NotMoved` before taking the lock, which would make the directory."""
    if not any((data / name).exists() for name in (LEDGER_FILE, STORE_FILE)):
        raise NotMoved(f"there is no ledger at {data / LEDGER_FILE}")


def _is_switched(data: Path, url: str) -> bool:
    """Return whether the ledger is the one in PostgreSQL already, and only the end is left."""
    remembered = store_of(data)
    if remembered is not None and not (data / MOVING_FILE).exists():
        raise NotMoved(f"the ledger of {data} is in PostgreSQL already")
    if remembered not in {None, url}:
        raise NotMoved(f"the ledger of {data} was moved elsewhere: see {data / STORE_FILE}")
    if (data / LEDGER_FILE).exists() and (data / MOVED_FILE).exists():
        raise NotMoved(f"{data / MOVED_FILE} is in the way: put it elsewhere")
    return remembered is not None


def _copy_and_switch(data: Path, url: str, new_id: Callable[[], str], showing: Showing) -> Moved:
    """Copy the ledger, compare and verify the copy, and make the directory remember it."""
    file, name = data / LEDGER_FILE, data / MOVING_FILE
    if not name.exists():
        write_line(name, new_id())
    signer = signer_of(data, new_id=new_id)
    fold_wal(file)
    with open_migration(file, url, name.read_text(encoding="utf-8").strip()) as migration:
        with showing("copying", "rows") as report:
            migration.copy(report)
        with showing("comparing", "rows") as report:
            migration.compare(report)
        with showing("verifying", "leaves") as report:
            moved = migration.verify(signer, report)
        remember(data, PostgresDatabase(url))
        migration.finish()
    return moved


def _set_aside(data: Path) -> None:
    """Rename SQLite's file: that ends the move."""
    file = data / LEDGER_FILE
    if file.exists():
        for left in (data / f"{LEDGER_FILE}-wal", data / f"{LEDGER_FILE}-shm"):
            # Left by readers; nothing has been written since the WAL was folded.
            assert left.suffix.endswith("-shm") or not left.exists() or not left.stat().st_size
            left.unlink(missing_ok=True)
        file.rename(data / MOVED_FILE)
        sync_directory(data)
    (data / MOVING_FILE).unlink()
    sync_directory(data)
