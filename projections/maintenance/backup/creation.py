"""Makes a backup, with or without a running service.

Everything goes into a directory beside it, is synced and checked, and then the directory gets its
name. So a backup is whole if it has its name; a killed process leaves `.<name>.*.part`, which is no
backup.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from ledger.archives import Shelf
from ledger.archives.layout import archive_path
from ledger.images.files import make_directory, sync_directory
from ledger.images.pools import Pool
from ledger.merkle.signed_note import Checkpoint, Signer
from ledger.proofs.checkpoints import checkpoint_of
from ledger.proofs.keys import KEY_FILE, VERIFIER_FILE
from ledger.store.seam import Log
from ledger.store.sqlite.backup import copy_ledger
from ledger.store.sqlite.connections import sqlite_reader
from projections.maintenance.backup.archives import archives_of
from projections.maintenance.backup.errors import NotBackedUp, failures_as
from projections.maintenance.backup.files import (
    describe_file,
    link_or_copy,
    write_file,
)
from projections.maintenance.backup.images import MissingImage, copy_images
from projections.maintenance.backup.inspection import check
from projections.maintenance.backup.layout import ARCHIVES, CHECKPOINT, IMAGES, LEDGER, files_in
from projections.maintenance.backup.manifest import (
    FORMAT,
    MANIFEST,
    Manifest,
    encode_manifest,
    seal_of,
)
from projections.views.drives import expected_images


class Taken(NamedTuple):
    """A backup: its events, last position, signed checkpoint (`note`), and missing images."""

    events: int
    position: int
    note: str
    missing: list[MissingImage]


def take(
    file: Path,
    archives: Path,
    signer: Callable[[], Signer],
    backup: Path,
    *,
    pools: Mapping[str, Pool] | None,
    now: Callable[[], datetime],
) -> Taken:
    """Back up the ledger in this file, and the images in these pools; block.

    Raise `NotBackedUp` and leave nothing.
    """
    _require_new(backup)
    if not file.is_file():
        raise NotBackedUp(f"there is no ledger at {file}")
    with failures_as(NotBackedUp), _new_directory(backup) as part:
        return _Creation(part, archives, signer()).run(file, pools, now)


def _require_new(backup: Path) -> None:
    if os.path.lexists(backup) and not (backup.is_dir() and not any(backup.iterdir())):
        raise NotBackedUp(f"{backup} exists already, and is no empty directory")


@contextmanager
def _new_directory(backup: Path) -> Iterator[Path]:
    """Yield a new directory that gets its name when the block succeeds, else is removed."""
    make_directory(backup.parent)
    part = Path(tempfile.mkdtemp(prefix=f".{backup.name}.", suffix=".part", dir=backup.parent))
    try:
        yield part
        for folder, _, _ in os.walk(part):
            sync_directory(Path(folder))
        part.rename(backup)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    sync_directory(backup.parent)


class _Creation:
    def __init__(self, part: Path, archives: Path, signer: Signer) -> None:
        self._part = part
        self._archives = archives
        self._signer = signer

    def run(
        self, file: Path, pools: Mapping[str, Pool] | None, now: Callable[[], datetime]
    ) -> Taken:
        made = now()
        copy = self._part / LEDGER
        copy_ledger(file, copy)
        self._write_key()
        with sqlite_reader(copy).log() as log:
            self._copy_archives(log)
            checkpoint = checkpoint_of(log, self._signer.name)
            expected = expected_images(log.cursor()) if pools is not None else []
        missing = list(copy_images(expected, pools or {}, self._part / IMAGES))
        seal = self._write_manifest(made, checkpoint, images=pools is not None)
        self._write_checkpoint(checkpoint._replace(backup=seal))
        note = check(self._part).note
        return Taken(checkpoint.size, checkpoint.position, note, missing)

    def _write_key(self) -> None:
        write_file(self._part / KEY_FILE, f"{self._signer.secret_text()}\n".encode())
        write_file(self._part / VERIFIER_FILE, f"{self._signer.verifier}\n".encode())

    def _copy_archives(self, log: Log) -> None:
        make_directory(self._part / ARCHIVES)
        for archive in archives_of(log, Shelf(self._archives)):
            link_or_copy(
                archive_path(self._archives, archive),
                archive_path(self._part / ARCHIVES, archive),
            )

    def _write_manifest(self, made: datetime, checkpoint: Checkpoint, *, images: bool) -> bytes:
        """Write the digests of all files that are there; return the seal."""
        files = {name: describe_file(self._part / name) for name in files_in(self._part)}
        content = encode_manifest(Manifest(FORMAT, made, checkpoint.position, images, files))
        write_file(self._part / MANIFEST, content)
        return seal_of(content)

    def _write_checkpoint(self, checkpoint: Checkpoint) -> None:
        write_file(self._part / CHECKPOINT, self._signer.sign(checkpoint.text()).encode())
