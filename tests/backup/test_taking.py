"""A backup has all that there was at one moment, and only comes to be whole."""

import hashlib
import os
import shutil
import stat
from pathlib import Path

import pytest

from ledger.archives import Shelf, write_archive
from ledger.merkle.signed_note import read_checkpoint
from projections.maintenance.backup.errors import NotBackedUp
from projections.maintenance.backup.inspection import check
from projections.maintenance.retention import compaction as compacting
from tests.backup.backups import Ledger, archived, drive, events, pragma, tables
from tests.retention.conftest import Clock


class Crash(Exception):
    """The process ends here."""


def test_the_copy_has_every_row_and_setting(ledger: Ledger, tmp_path: Path) -> None:
    """Positions, the highest one ever given, read models, plain tables; space is given back."""
    backup = tmp_path / "backup"
    ledger.back_up(backup)
    copy = backup / "ledger.sqlite"
    assert tables(copy) == tables(ledger.file)
    assert events(copy) == events(ledger.file) != []
    for name in ("user_version", "auto_vacuum", "page_size", "encoding"):
        assert pragma(copy, name) == pragma(ledger.file, name), name
    assert pragma(copy, "auto_vacuum") == 2
    assert pragma(copy, "integrity_check") == "ok"


def test_positions_of_what_is_gone_stay_used(ledger: Ledger, tmp_path: Path) -> None:
    """Also where they are the highest."""
    ledger.ledger.exclusive(
        lambda cursor: cursor.execute("UPDATE sqlite_sequence SET seq = 1000")
    ).result()
    ledger.back_up(tmp_path / "backup")
    rows = tables(tmp_path / "backup" / "ledger.sqlite")["sqlite_sequence"]
    assert ("stored_events", 1000) in rows


def test_the_checkpoint_is_of_just_the_copy(ledger: Ledger, tmp_path: Path) -> None:
    """Whatever is recorded right after it."""
    expected = ledger.checkpoint()
    taken = ledger.back_up(tmp_path / "backup")
    drive(ledger, "later")
    signed = read_checkpoint(taken.note.encode(), ledger.signer.verifier)
    manifest = (tmp_path / "backup" / "manifest.json").read_bytes()
    assert signed == expected._replace(backup=hashlib.sha256(manifest).digest())
    assert (tmp_path / "backup" / "checkpoint").read_text() == taken.note
    assert (taken.events, taken.position) == (expected.size, expected.position)
    assert check(tmp_path / "backup").checkpoint == signed


def test_the_archives_are_those_that_the_ledger_names(ledger: Ledger, tmp_path: Path) -> None:
    """Byte for byte, without a second copy; one that was not recorded has nothing to say."""
    [first, _] = ledger.shelf.names()
    unrecorded = ledger.archives / "unrecorded.jsonl.zst"
    with ledger.ledger.log() as log:
        write_archive(ledger.archives, "unrecorded", log.events(), [])
    ledger.back_up(tmp_path / "backup")
    kept = Shelf(tmp_path / "backup" / "archive")
    assert kept.names() == [name for name in ledger.shelf.names() if name != "unrecorded"]
    assert unrecorded.exists()
    mine, theirs = (kept.get(first).path, ledger.shelf.get(first).path)
    assert mine.samefile(theirs)


def test_an_archive_that_only_an_archive_names_is_kept(
    ledger: Ledger, tmp_path: Path, clock: Clock
) -> None:
    """The event that recorded it was itself archived meanwhile."""
    for nth in range(4):
        archived(ledger, clock, f"more-{nth}")
    names = ledger.shelf.names()
    with ledger.ledger.log() as log:
        assert len(log.streams_of("compaction")) < len(names) == 6
    ledger.back_up(tmp_path / "backup")
    assert Shelf(tmp_path / "backup" / "archive").names() == names


def test_what_is_between_two_steps_of_a_compaction_is_kept_in_both_places(
    ledger: Ledger, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The archive is recorded, and some of its events are still in the store."""

    def crash(*_: object, **__: object) -> None:
        raise Crash

    monkeypatch.setattr(compacting, "delete_events", crash)
    with pytest.raises(Crash):
        archived(ledger, clock, "third")
    monkeypatch.undo()
    ledger.back_up(tmp_path / "backup")
    assert len(Shelf(tmp_path / "backup" / "archive").names()) == 3


def test_only_the_owner_may_look(ledger: Ledger, tmp_path: Path) -> None:
    """The key is in it, and the hashes of passwords."""
    old = os.umask(0)
    try:
        ledger.back_up(tmp_path / "backup")
    finally:
        os.umask(old)
    for path in (tmp_path / "backup", *(tmp_path / "backup").rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.parametrize("there", ["file", "directory with something in it"])
def test_what_is_there_is_never_written_over(ledger: Ledger, tmp_path: Path, there: str) -> None:
    """An empty directory may be given."""
    backup = tmp_path / "backup"
    if there == "file":
        backup.write_text("mine")
    else:
        backup.mkdir()
        (backup / "mine").write_text("mine")
    with pytest.raises(NotBackedUp, match="exists already"):
        ledger.back_up(backup)
    assert (backup if backup.is_file() else backup / "mine").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"backup", "data"}
    (tmp_path / "empty").mkdir()
    ledger.back_up(tmp_path / "empty")
    check(tmp_path / "empty")


def test_a_failure_leaves_nothing(ledger: Ledger, tmp_path: Path) -> None:
    """A damaged archive cannot be backed up: that would be found when it is needed."""
    [first, _] = ledger.shelf.names()
    path = ledger.shelf.get(first).path
    content = bytearray(path.read_bytes())
    content[10] ^= 1
    path.write_bytes(content)
    with pytest.raises(NotBackedUp, match=first):
        ledger.back_up(tmp_path / "backup")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_without_a_ledger_there_is_no_backup(tmp_path: Path, clock: Clock) -> None:
    """Nor is a key made for it."""
    ledger = Ledger.__new__(Ledger)
    ledger.file, ledger.archives = tmp_path / "ledger.sqlite", tmp_path / "archive"
    with pytest.raises(NotBackedUp, match="there is no ledger at"):
        ledger.back_up(tmp_path / "backup")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(ledger: Ledger, small_disk: Path) -> None:
    """Neither of the backup nor of its beginnings; with room made, there is one."""
    left = shutil.disk_usage(small_disk).free
    filler = small_disk / "filler"
    filler.write_bytes(bytes(left - 128 * 1024))
    with pytest.raises(NotBackedUp, match=r"full|No space left"):
        ledger.back_up(small_disk / "backup")
    assert list(small_disk.iterdir()) == [filler]
    filler.unlink()
    ledger.back_up(small_disk / "backup")
    check(small_disk / "backup")
