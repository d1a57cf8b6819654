"""Restores a ledger from a backup.

    checked -> ledger's file staged -> LedgerRestored recorded in it -> archives, key, images put
    -> ledger's file renamed

The last step makes the directory a ledger. If the process is killed before, there is none, and the
service does not begin one there (`is_unfinished`); the next restore starts anew. What is in the way
is moved to `lost+found`: nothing is deleted or replaced.
"""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from ledger.archives import Shelf
from ledger.archives.layout import archive_path
from ledger.images.files import make_directory, sync_directory
from ledger.images.pools import Pool
from ledger.merkle.signed_note import Checkpoint
from ledger.store.sqlite.connections import sqlite_reader
from projections.maintenance.backup.errors import NotRestored, failures_as
from projections.maintenance.backup.files import (
    copy_file,
    describe_file,
    set_aside,
    sync_file,
)
from projections.maintenance.backup.images import (
    LOST_AND_FOUND,
    MissingImage,
    missing_images,
    put_back,
    set_strays_aside,
)
from projections.maintenance.backup.inspection import Checked, check
from projections.maintenance.backup.layout import ARCHIVES, KEY_FILE, LEDGER, VERIFIER_FILE
from projections.views.drives import existing_drives, expected_images

STAGING = "restoring"
"""The directory, in the data directory, in which a restore prepares the ledger's file."""


class Restored(NamedTuple):
    """A restored ledger; `first` is the checkpoint with which its new epoch begins.

    `aside` is what was in the way, by its new path; `missing` are images that are not there.
    """

    first: Checkpoint
    aside: list[Path]
    missing: list[MissingImage]


Record = Callable[[Path, int, str], None]
"""Records a restore in the ledger of a data directory: its epoch, and the checkpoint as signed."""


def is_unfinished(data: Path) -> bool:
    """Return whether a restore into this data directory was interrupted."""
    return (data / STAGING).exists() and not (data / LEDGER).exists()


def check_first(
    backup: Path,
    data: Path,
    pools: Mapping[str, Pool],
    kept_note: bytes | None = None,
    *,
    unsealed: bool = False,
) -> Checked:
    """Check that a backup can be restored there, and return it; change nothing, and block.

    `kept_note` and `unsealed` are as for `check`. Raise `BadBackup` and `NotRestored`.
    """
    _require_none(data)
    checked = check(backup, kept_note, unsealed=unsealed)
    for pool in sorted({image.pool for image in checked.images} - pools.keys()):
        raise NotRestored(f"the backup has images of pool {pool}: say where it is (--pool)")
    return checked


def restore(checked: Checked, data: Path, pools: Mapping[str, Pool], record: Record) -> Restored:
    """Restore into a data directory that no process uses; block. Raise `NotRestored`."""
    _require_none(data)
    with failures_as(NotRestored):
        return _Restoration(checked, data, pools).run(record)


def _require_none(data: Path) -> None:
    if (data / LEDGER).exists():
        raise NotRestored(f"there is a ledger in {data} already; move it away to restore another")


class _Restoration:
    def __init__(self, checked: Checked, data: Path, pools: Mapping[str, Pool]) -> None:
        self._checked = checked
        self._backup = checked.backup
        self._data = data
        self._pools = pools
        self._staging = data / STAGING
        self._aside: list[Path] = []

    def run(self, record: Record) -> Restored:
        self._stage()
        # Of the ledger exactly as in the backup: no other is restored without the key.
        last = self._checked.checkpoint
        first = last._replace(epoch=last.epoch + 1, backup=None)
        record(self._staging, first.epoch, self._checked.signer.sign(first.text()))
        self._put_archives()
        self._put_keys()
        missing = self._put_images()
        self._finish()
        return Restored(first, self._aside, missing)

    def _stage(self) -> None:
        """Copy the ledger's file to where it can be written to and is no ledger yet."""
        make_directory(self._data)
        if self._staging.exists():
            shutil.rmtree(self._staging)
        make_directory(self._staging)
        copy_file(self._backup / LEDGER, self._staging / LEDGER)

    def _put_archives(self) -> None:
        """Put the archives of the backup, and set others aside: they would show what was lost."""
        directory = self._data / ARCHIVES
        names = Shelf(self._backup / ARCHIVES).names()
        for name in Shelf(directory).names():
            if name not in names:
                self._set_aside(archive_path(directory, name))
        for name in names:
            self._put(str(archive_path(Path(ARCHIVES), name)))

    def _put_keys(self) -> None:
        for name in (KEY_FILE, VERIFIER_FILE):
            self._put(name)

    def _put(self, name: str) -> None:
        """Put a file of the backup under the same name, unless it is there already."""
        target = self._data / name
        if target.exists():
            if describe_file(target) == self._checked.manifest.files[name]:
                return
            self._set_aside(target)
        make_directory(target.parent)
        staged = self._staging / target.name
        copy_file(self._backup / name, staged)
        staged.rename(target)
        sync_directory(target.parent)

    def _put_images(self) -> list[MissingImage]:
        for pool in self._pools.values():
            make_directory(pool.path)
        with sqlite_reader(self._staging / LEDGER).log() as log:
            drives = existing_drives(log.cursor())
            expected = expected_images(log.cursor())
        for pool in self._pools.values():
            self._aside += set_strays_aside(pool, drives)
        for image in self._checked.images:
            aside = put_back(image.file, image.kept, self._pools[image.pool])
            self._aside += [] if aside is None else [aside]
        return list(missing_images(expected, self._pools))

    def _finish(self) -> None:
        """Make the directory a ledger."""
        for name in (f"{LEDGER}-wal", f"{LEDGER}-shm"):
            # Left by a ledger that was moved away without them: SQLite would use them.
            if (self._data / name).exists():
                self._set_aside(self._data / name)
        self._remove_wal()
        sync_file(self._staging / LEDGER)
        (self._staging / LEDGER).rename(self._data / LEDGER)
        sync_directory(self._data)
        self._staging.rmdir()

    def _remove_wal(self) -> None:
        """Remove the WAL, which the writer has emptied, and readers may have left."""
        wal = self._staging / f"{LEDGER}-wal"
        assert not wal.exists() or not wal.stat().st_size, "the ledger's file is still open"
        for path in (wal, self._staging / f"{LEDGER}-shm"):
            path.unlink(missing_ok=True)

    def _set_aside(self, path: Path) -> None:
        self._aside.append(set_aside(path, self._data / LOST_AND_FOUND))
