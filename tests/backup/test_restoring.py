"""A restored ledger is that of the backup, in a new epoch; and nothing else comes of a restore."""

import asyncio
import hashlib
import json
import os
import shutil
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from api.cli import cli
from api.cli.commands.backup import _restore
from api.composition import open_ledger
from api.data.directory import DataInUse, DataUnusable, data_lock
from api.service.settings import Settings
from ledger.archives import Shelf, write_archive
from ledger.codec import decode
from ledger.domain.events.housekeeping import LedgerRestored
from ledger.merkle.signed_note import Checkpoint, Signer, read_checkpoint
from ledger.proofs.keys import signer_of, verifier_of
from projections.maintenance.backup.errors import BadBackup, NotRestored
from projections.maintenance.backup.files import describe_file
from projections.maintenance.backup.manifest import (
    MANIFEST,
    encode_manifest,
    read_manifest,
    seal_of,
)
from projections.maintenance.backup.restoration import check_first
from tests.backup.backups import (
    Ledger,
    archived,
    drive,
    events,
    restored,
    tables,
    tree_root,
)
from tests.retention.conftest import Clock


def test_what_was_there_is_there(
    ledger: Ledger, backup: Path, tmp_path: Path, clock: Clock
) -> None:
    """All events and all plain tables; one event more says what they are."""
    before = tables(ledger.file)
    data = tmp_path / "restored"
    first = restored(backup, data, clock=clock).first
    *same, last = events(data / "ledger.sqlite")
    assert same == events(ledger.file)
    event = decode(last.topic, last.state).event
    assert isinstance(event, LedgerRestored)
    assert (event.epoch, last.leaf_index) == (first.epoch, first.size) == (2, len_of(ledger))
    after = tables(data / "ledger.sqlite")
    for name in (
        *("accounts", "sessions", "tokens", "token_grants", "job_token_keys", "claims", "texts"),
        *("guards", "leaf_tiles", "moments"),
    ):
        assert after[name] == before[name] != [], name
    assert Shelf(data / "archive").names() == ledger.shelf.names()
    with Ledger(data, clock) as again:
        assert again.replay().divergence is None
        shown = again.rows()
        rebuilt = again.rebuild()
        assert rebuilt.before == rebuilt.after
        assert again.rows() == shown == ledger.rows()
        drive(again, "later")
        archived(again, clock, "later")
        assert again.replay().divergence is None


def len_of(ledger: Ledger) -> int:
    with ledger.ledger.log() as log:
        return log.leaf_count()


def test_the_new_epoch_begins_with_the_old_tree(
    ledger: Ledger, backup: Path, tmp_path: Path
) -> None:
    """Signed by the key; so nobody without it passes something else off as a restore."""
    old = [ledger.checkpoint()]
    data = tmp_path / "restored"
    first = restored(backup, data).first
    last = decode(*events(data / "ledger.sqlite")[-1][4:6]).event
    assert isinstance(last, LedgerRestored)
    assert read_checkpoint(last.checkpoint.encode(), verifier_of(data)) == first
    assert first == old[0]._replace(epoch=2)
    assert tree_root(data / "ledger.sqlite", first.size) == first.root


def test_checkpoints_of_before_the_backup_still_prove(
    ledger: Ledger, tmp_path: Path, clock: Clock
) -> None:
    """Those of the lost part do not; both hold after another compaction."""
    kept = [ledger.checkpoint()]
    for nth in range(3):
        drive(ledger, f"before-{nth}")
        kept.append(ledger.checkpoint())
    ledger.back_up(tmp_path / "backup")
    drive(ledger, "lost")
    lost = ledger.checkpoint()
    data = tmp_path / "restored"
    restored(tmp_path / "backup", data, clock=clock)
    with Ledger(data, clock) as again:
        drive(again, "instead")
        archived(again, clock, "after")
    for checkpoint in kept:
        assert tree_root(data / "ledger.sqlite", checkpoint.size) == checkpoint.root
    assert tree_root(data / "ledger.sqlite", lost.size) != lost.root


def test_a_ledger_may_be_restored_again_and_again(
    ledger: Ledger, backup: Path, tmp_path: Path, clock: Clock
) -> None:
    """Each time it is another epoch."""
    for nth in range(3):
        data = tmp_path / f"restored-{nth}"
        assert restored(backup, data).first.epoch == nth + 2
        with Ledger(data, clock) as again:
            drive(again, f"drive-{nth}")
            backup = tmp_path / f"backup-{nth}"
            again.back_up(backup)


def test_only_the_owner_may_look(backup: Path, tmp_path: Path) -> None:
    """Whatever became of the modes where the backup was kept."""
    for path in backup.rglob("*"):
        path.chmod(0o777 if path.is_dir() else 0o644)
    data = tmp_path / "restored"
    restored(backup, data)
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    for path in data.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path
    signer_of(data, new_id=lambda: "never asked")


def test_a_ledger_is_never_written_over(ledger: Ledger, backup: Path) -> None:
    """Not even looked at."""
    before = tables(ledger.file)
    with pytest.raises(NotRestored, match="there is a ledger in"):
        restored(backup, ledger.data)
    assert tables(ledger.file) == before


def test_a_data_directory_in_use_is_left_alone(backup: Path, tmp_path: Path) -> None:
    """Whatever its service is about to do there."""
    data = tmp_path / "restored"
    with data_lock(data):
        with pytest.raises(DataInUse, match="is in use by job-ledger process"):
            _restore(backup, Settings(data=data))
        assert [path.name for path in data.iterdir()] == ["lock"]
    assert _restore(backup, Settings(data=data)).first.epoch == 2


def test_what_is_in_the_way_is_moved_aside(
    ledger: Ledger, backup: Path, tmp_path: Path, clock: Clock
) -> None:
    """A later archive, another key, and what was left of a ledger's file by whoever moved it."""
    archived(ledger, clock, "later")
    [later] = set(ledger.shelf.names()) - set(Shelf(backup / "archive").names())
    data = ledger.data
    ledger.close()
    (data / "ledger.sqlite").rename(tmp_path / "moved")
    (data / "ledger.sqlite-wal").write_bytes(b"of another ledger")
    (data / "checkpoint.key").write_text("another")
    names = {
        f"{later}.jsonl.zst": ledger.archives / f"{later}.jsonl.zst",
        "ledger.sqlite-wal": data / "ledger.sqlite-wal",
        "checkpoint.key": data / "checkpoint.key",
    }
    contents = {name: path.read_bytes() for name, path in names.items()}
    (data / "lost+found").mkdir()
    (data / "lost+found" / "checkpoint.key").write_text("of an earlier restore")
    aside = restored(backup, data).aside
    assert {path.name for path in aside} == {
        f"{later}.jsonl.zst",
        "ledger.sqlite-wal",
        "checkpoint.key.2",
    }
    for path in aside:
        assert path.read_bytes() == contents[path.name.removesuffix(".2")]
    with Ledger(data, clock) as again:
        assert again.replay().divergence is None
        assert again.shelf.names() == Shelf(backup / "archive").names()


async def test_a_restore_that_was_broken_off_is_no_new_ledger(backup: Path, tmp_path: Path) -> None:
    """Whoever opens one there is told so, until the restore is run again."""
    data = tmp_path / "restored"
    (data / "restoring").mkdir(parents=True)
    with pytest.raises(DataUnusable, match="was broken off: run it again"):
        async with open_ledger(data):
            pass
    assert [path.name for path in data.iterdir()] == ["restoring"]
    await asyncio.to_thread(restored, backup, data)
    async with open_ledger(data) as opened:
        assert opened.ledger.position > 0


# What is refused


def flip(path: Path) -> None:
    """One bit, in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def lengthen(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\n")


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("harm", [flip, cut, lengthen, empty, Path.unlink])
def test_a_backup_that_was_harmed_is_refused(
    backup: Path, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    """Whichever file it is; and nothing comes of the restore."""
    files = [path.relative_to(backup) for path in backup.rglob("*") if path.is_file()]
    assert len(files) == 7
    for file in files:
        copy, data = tmp_path / "copy", tmp_path / "restored"
        shutil.copytree(backup, copy)
        harm(copy / file)
        with pytest.raises(BadBackup, match=file.name.replace(".", r"\.")):
            restored(copy, data)
        assert not data.exists()
        shutil.rmtree(copy)


def test_a_file_too_many_is_refused(backup: Path, tmp_path: Path) -> None:
    """Such as an archive that somebody has put there."""
    (backup / "archive" / "more.jsonl.zst").write_bytes(b"")
    with pytest.raises(BadBackup, match=r"more\.jsonl\.zst does not belong there"):
        restored(backup, tmp_path / "restored")


def signer_in(backup: Path) -> Signer:
    return Signer.of_text((backup / "checkpoint.key").read_text())


def checkpoint_in(backup: Path) -> Checkpoint:
    return read_checkpoint((backup / "checkpoint").read_bytes(), signer_in(backup).verifier)


def seal(backup: Path, signer: Signer | None = None) -> None:
    """What somebody does who changes files and knows how backups are sealed.

    Only who has a key can sign the checkpoint.
    """
    manifest = read_manifest(backup, checkpoint_in(backup).backup, unsealed=False)
    files = {name: describe_file(backup / name) for name in manifest.files}
    content = encode_manifest(replace(manifest, files=files))
    (backup / MANIFEST).write_bytes(content)
    if signer is not None:
        signed = checkpoint_in(backup)._replace(origin=signer.name, backup=seal_of(content))
        (backup / "checkpoint").write_text(signer.sign(signed.text()))


def give_another_key(backup: Path) -> Signer:
    """Of the same name, so that it is not told apart by that."""
    signer = Signer(signer_in(backup).name, bytes(32))
    changed = checkpoint_in(backup)
    (backup / "checkpoint.key").write_text(f"{signer.secret_text()}\n")
    (backup / "checkpoint.pub").write_text(f"{signer.verifier}\n")
    (backup / "checkpoint").write_text(signer.sign(changed.text()))
    return signer


def change_event(backup: Path) -> str:
    with closing(sqlite3.connect(backup / "ledger.sqlite")) as connection, connection:
        connection.execute(
            "UPDATE stored_events SET state = replace(state, 'account-1', 'account-9')"
        )
    return "ledger.sqlite"


def remove_last_event(backup: Path) -> str:
    with closing(sqlite3.connect(backup / "ledger.sqlite")) as connection, connection:
        connection.execute(
            "DELETE FROM stored_events"
            " WHERE leaf_index = (SELECT max(leaf_index) FROM stored_events)"
        )
        connection.execute("UPDATE leaf_count SET leaves = leaves - 1")
    return "ledger.sqlite"


def change_archive(backup: Path) -> str:
    """Writes an archive anew, with one event changed."""
    directory = backup / "archive"
    name = Shelf(directory).names()[0]
    archive = Shelf(directory).get(name)
    found, trees = list(archive.events()), archive.trees
    found[0] = found[0]._replace(state=found[0].state.replace(b"account-1", b"account-9"))
    archive.path.unlink()
    write_archive(directory, name, found, trees)
    return f"archive/{name}.jsonl.zst"


def change_root(backup: Path) -> str:
    """Signs another tree with the key that is in the backup."""
    other = checkpoint_in(backup)._replace(root=bytes(32))
    (backup / "checkpoint").write_text(signer_in(backup).sign(other.text()))
    return "checkpoint"


@pytest.mark.parametrize("harm", [change_event, remove_last_event, change_archive, change_root])
def test_a_ledger_that_is_not_the_one_that_was_signed_is_refused(
    backup: Path, tmp_path: Path, harm: Callable[[Path], str]
) -> None:
    """Although every digest fits, and the key is there to sign them."""
    harm(backup)
    seal(backup, signer_in(backup))
    with pytest.raises(BadBackup, match=r"event|checkpoint|tree"):
        restored(backup, tmp_path / "restored")
    assert not (tmp_path / "restored").exists()


# What nobody has signed


def change_account(backup: Path) -> None:
    """Makes somebody an operator: accounts are in no tree."""
    with closing(sqlite3.connect(backup / "ledger.sqlite")) as connection, connection:
        changed = connection.execute("UPDATE accounts SET role = 'operator'")
        assert changed.rowcount == 1


def change_password(backup: Path) -> None:
    with closing(sqlite3.connect(backup / "ledger.sqlite")) as connection, connection:
        connection.execute("UPDATE accounts SET password_hash = 'mine'")


def change_archive_order(backup: Path) -> None:
    """Packs it anew: the events are the same."""
    change_archive(backup)


HARMS = [change_account, change_password, change_archive_order]


@pytest.mark.parametrize("harm", HARMS)
def test_what_was_sealed_anew_without_the_key_is_refused(
    backup: Path, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    """Whoever can write there can compute digests, but not sign them."""
    harm(backup)
    seal(backup)
    with pytest.raises(BadBackup, match=r"manifest\.json was changed: it is not the one that was"):
        restored(backup, tmp_path / "restored")
    assert not (tmp_path / "restored").exists()


def test_the_seal_of_another_backup_does_not_fit(
    ledger: Ledger, backup: Path, tmp_path: Path
) -> None:
    """Nor a checkpoint that is of no backup, such as the service gives to everybody."""
    change_account(backup)
    seal(backup)
    other = tmp_path / "other"
    ledger.back_up(other)
    plain = ledger.signer.sign(ledger.checkpoint().text())
    for note in ((other / "checkpoint").read_text(), plain):
        (backup / "checkpoint").write_text(note)
        with pytest.raises(BadBackup, match="is not the one that was signed"):
            restored(backup, tmp_path / "restored")


def to_earlier_format(backup: Path, checkpoint: Checkpoint) -> None:
    """What 0.2 would have made of it: the manifest is about the checkpoint, and nobody signs it."""
    (backup / "checkpoint").write_text(signer_in(backup).sign(checkpoint.text()))
    manifest = json.loads((backup / MANIFEST).read_bytes()) | {"format": 1}
    kept = describe_file(backup / "checkpoint")
    manifest["files"]["checkpoint"] = {"bytes": kept.bytes, "digest": kept.digest}
    kept = describe_file(backup / "ledger.sqlite")
    manifest["files"]["ledger.sqlite"] = {"bytes": kept.bytes, "digest": kept.digest}
    content = json.dumps(manifest).encode()
    sealed = b'{"digest":"%b","backup":%b}\n'
    digest = hashlib.sha256(content).hexdigest().encode()
    (backup / MANIFEST).write_bytes(sealed % (digest, content))


def test_an_earlier_format_is_no_way_around_the_seal(backup: Path, tmp_path: Path) -> None:
    """It is accepted only from who says so; then it is checked as it was by that version."""
    change_account(backup)
    to_earlier_format(backup, checkpoint_in(backup)._replace(backup=None))
    with pytest.raises(BadBackup, match=r"which did not sign it: .* --unsealed"):
        restored(backup, tmp_path / "restored")
    assert not (tmp_path / "restored").exists()
    assert check_first(backup, tmp_path / "restored", {}, unsealed=True)
    content = (backup / MANIFEST).read_bytes()
    (backup / MANIFEST).write_bytes(content.replace(b'"images": false', b'"images": true'))
    with pytest.raises(BadBackup, match="its digest is another"):
        check_first(backup, tmp_path / "restored", {}, unsealed=True)


def test_a_sealed_backup_is_never_taken_for_an_unsealed_one(backup: Path, tmp_path: Path) -> None:
    change_account(backup)
    to_earlier_format(backup, checkpoint_in(backup))
    with pytest.raises(BadBackup, match="is not the one that was signed"):
        check_first(backup, tmp_path / "restored", {}, unsealed=True)


def test_the_checkpoint_that_was_kept_proves_the_backup(backup: Path, tmp_path: Path) -> None:
    """Without it, who has the key, or puts another one there, can seal anew; with it nobody can."""
    kept = (backup / "checkpoint").read_bytes()
    data = tmp_path / "restored"
    assert check_first(backup, data, {}, kept).checkpoint == checkpoint_in(backup)
    change_account(backup)
    seal(backup, signer_in(backup))
    assert check_first(backup, data, {})
    with pytest.raises(BadBackup, match="is not the backup that the checkpoint was printed for"):
        check_first(backup, data, {}, kept)
    seal(backup, give_another_key(backup))
    assert check_first(backup, data, {})
    with pytest.raises(BadBackup, match="is not that of the checkpoint"):
        check_first(backup, data, {}, kept)
    with pytest.raises(BadBackup, match="is not that of the checkpoint"):
        check_first(backup, data, {}, b"no checkpoint")


def test_the_command_takes_the_checkpoint_that_was_kept(backup: Path, tmp_path: Path) -> None:
    """And says what a restore proves without it."""
    kept, other = tmp_path / "kept", tmp_path / "other"
    kept.write_bytes((backup / "checkpoint").read_bytes())
    other.write_text(signer_in(backup).sign(checkpoint_in(backup)._replace(size=1).text()))
    run, command = CliRunner().invoke, ("restore", str(backup), "--data", str(tmp_path / "data"))
    refused = run(cli, [*command, "--checkpoint", str(other)])
    assert (refused.exit_code, "is not the backup that" in refused.output) == (1, True)
    done = run(cli, [*command, "--checkpoint", str(kept)])
    assert (done.exit_code, "note: " in done.output) == (0, False), done.output
    done = run(cli, [*command[:-1], str(tmp_path / "again")])
    assert (done.exit_code, "note: the key comes from the backup" in done.output) == (0, True)


def test_what_is_no_backup_is_refused(tmp_path: Path) -> None:
    """In one line."""
    with pytest.raises(BadBackup, match="No such file or directory"):
        restored(tmp_path / "nothing", tmp_path / "restored")
