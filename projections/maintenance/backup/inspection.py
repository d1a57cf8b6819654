"""Checks a backup: that it is as written, and of the ledger that was signed."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from ledger.archives import Shelf
from ledger.domain.errors.store import StoreFailed
from ledger.merkle.signed_note import (
    NOTE_BYTES,
    BadCheckpoint,
    BadKey,
    Checkpoint,
    Signer,
    read_checkpoint,
)
from ledger.proofs.findings import described
from ledger.proofs.keys import KeyUnusable, verifier_of
from ledger.proofs.verification import CannotVerify, verify
from ledger.store.seam import Log
from ledger.store.sqlite.connections import sqlite_reader
from projections.maintenance.backup.errors import BadBackup
from projections.maintenance.backup.files import describe_file
from projections.maintenance.backup.layout import (
    ARCHIVES,
    CHECKPOINT,
    IMAGES,
    KEY_FILE,
    LEDGER,
    files_in,
)
from projections.maintenance.backup.manifest import MANIFEST, FileRecord, Manifest, read_manifest


class ImageRecord(NamedTuple):
    """An image in a backup."""

    file: Path
    pool: str
    kept: FileRecord


class Checked(NamedTuple):
    """A backup that is sound; `note` is its signed checkpoint."""

    backup: Path
    manifest: Manifest
    signer: Signer
    checkpoint: Checkpoint
    note: str
    images: list[ImageRecord]


def check(backup: Path, kept_note: bytes | None = None, *, unsealed: bool = False) -> Checked:
    """Read all of a backup, and change nothing. Raise `BadBackup`.

    With `kept_note`, the checkpoint that was printed when it was made, it must be that backup: then
    not even somebody who has the key can have changed it. A backup of an earlier version is not
    sealed.
    """
    signer = _signer_of(backup)
    note, checkpoint = _checkpoint_of(backup, signer)
    if kept_note is not None:
        _check_kept(backup, kept_note, checkpoint, signer)
    manifest = read_manifest(backup, checkpoint.backup, unsealed=unsealed)
    _check_files(backup, manifest)
    try:
        with sqlite_reader(backup / LEDGER).log() as log:
            shelf = Shelf(backup / ARCHIVES)
            check_ledger(log, shelf, checkpoint, signer, shelf.names())
    except (CannotVerify, StoreFailed) as error:
        raise BadBackup(f"{backup / LEDGER}: {error}") from error
    if manifest.position != checkpoint.position:
        raise BadBackup(f"{backup / MANIFEST} is of another moment than the checkpoint")
    return Checked(backup, manifest, signer, checkpoint, note, list(_images(backup, manifest)))


def _images(backup: Path, manifest: Manifest) -> Iterator[ImageRecord]:
    for name, kept in manifest.files.items():
        match name.split("/"):
            case [folder, pool, _] if folder == IMAGES:
                yield ImageRecord(backup / name, pool, kept)
            case [folder, *_] if folder == IMAGES:
                raise BadBackup(f"{backup / name} is in no pool's folder")


def _check_files(backup: Path, manifest: Manifest) -> None:
    """Check that there are the same files as were written, and no others."""
    try:
        found = set(files_in(backup))
        expected = {MANIFEST, CHECKPOINT} | manifest.files.keys()
        for name in sorted(found ^ expected):
            reason = "is not there" if name in expected else "does not belong there"
            raise BadBackup(f"{backup / name} {reason}")
        for name, kept in manifest.files.items():
            if describe_file(backup / name) != kept:
                raise BadBackup(f"{backup / name} was changed: its digest is another")
    except OSError as error:
        raise BadBackup(f"{error.filename}: {error.strerror}") from error


def _signer_of(backup: Path) -> Signer:
    """Read the key, whatever its mode: not every place where backups are kept has modes."""
    path = backup / KEY_FILE
    try:
        signer = Signer.of_text(path.read_text(encoding="utf-8"))
        public = verifier_of(backup)
    except (OSError, ValueError, BadKey, KeyUnusable) as error:
        raise BadBackup(f"{path}: {error}") from error
    if str(public) != str(signer.verifier):
        raise BadBackup(f"{path} is not the key of the public half beside it")
    return signer


def _checkpoint_of(backup: Path, signer: Signer) -> tuple[str, Checkpoint]:
    path = backup / CHECKPOINT
    try:
        with path.open("rb") as file:
            note = file.read(NOTE_BYTES + 1)
        return note.decode(), read_checkpoint(note, signer.verifier)
    except (OSError, BadCheckpoint) as error:
        raise BadBackup(f"{path}: {error}") from error


def _check_kept(backup: Path, note: bytes, checkpoint: Checkpoint, signer: Signer) -> None:
    """Check that this checkpoint of a backup is the one that was kept elsewhere."""
    try:
        kept = read_checkpoint(note, signer.verifier)
    except BadCheckpoint as error:
        raise BadBackup(f"the key in {backup} is not that of the checkpoint: {error}") from error
    if kept != checkpoint:
        raise BadBackup(f"{backup} is not the backup that the checkpoint was printed for")


def check_ledger(
    log: Log, shelf: Shelf, checkpoint: Checkpoint, signer: Signer, archives: Collection[str]
) -> None:
    """Check that the record is the one that was signed, to its last event and no further.

    Raise `BadBackup`, `CannotVerify` and `StoreFailed`.
    """
    verified = verify(log, shelf, checkpoint, signer.verifier, names=archives)
    if not verified.intact:
        raise BadBackup(described(verified.findings[0]))
    found = verified.size, log.last_position(), verified.epoch
    if found != (checkpoint.size, checkpoint.position, checkpoint.epoch):
        raise BadBackup("the checkpoint is of an earlier moment than the ledger")
