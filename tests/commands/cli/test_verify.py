"""`job-ledger audit verify`: what it says, and with which exit code, of ledgers good and bad."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from api.cli.commands.audit import audit
from ledger.archives import Shelf, write_archive
from ledger.codec import leaf_hash
from ledger.merkle.signed_note import Checkpoint, Signer
from ledger.proofs.keys import KEY_FILE, VERIFIER_FILE, signer_of
from tests.commands.cli.processes import Serving, ask
from tests.ledger.proofs.histories import FILE, History
from tests.support.opened import behind_its_back

INTACT, NOT_INTACT, COULD_NOT_RUN = 0, 1, 2


class Kept:
    """A data directory, and what somebody has kept of it elsewhere."""

    def __init__(self, directory: Path) -> None:
        self.data = directory / "data"
        self.note = directory / "checkpoint"
        self.key = directory / "key"

    @property
    def archives(self) -> list[Path]:
        return sorted((self.data / "archive").glob("*.jsonl.zst"))

    def verify(self, *arguments: object) -> Result:
        given = "verify", "--data", self.data, "--checkpoint", self.note, *arguments
        return CliRunner().invoke(audit, [str(argument) for argument in given])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """With an archive, and a checkpoint that it has outgrown by now."""
    kept = Kept(tmp_path_factory.mktemp("kept"))
    history = History(kept.data)
    history.jobs(50)
    history.jobs(10)
    history.discard(50)
    history.compact()
    signer = signer_of(kept.data, new_id=lambda: "test")
    signed = history.checkpoint()._replace(origin=signer.name)
    history.jobs(1)
    history.close()
    kept.note.write_text(signer.sign(signed.text()))
    shutil.copy(kept.data / VERIFIER_FILE, kept.key)
    return kept


@pytest.fixture
def kept(made: Kept, tmp_path: Path) -> Iterator[Kept]:
    copied = tmp_path / "kept"
    shutil.copytree(made.data.parent, copied)
    yield Kept(copied)
    shutil.rmtree(copied)


def test_an_intact_ledger(kept: Kept) -> None:
    """With the key that was kept with the checkpoint."""
    answer = kept.verify("--key", kept.key)
    assert answer.output == (
        "checkpoint of job-ledger/test: 363 events, in epoch 1\n"
        "ledger: 369 events, in epoch 1; verified 69 in the store and 300 in archives\n"
        "intact\n"
    )
    assert answer.exit_code == INTACT


def test_a_key_from_the_same_directory_proves_less(kept: Kept) -> None:
    """And that is said."""
    answer = kept.verify()
    assert "note: the key comes from the data directory" in answer.output
    assert answer.output.endswith("intact\n")
    assert answer.exit_code == INTACT


def test_archives_that_are_not_here_are_not_checked(kept: Kept) -> None:
    """And that is said; the rest is intact."""
    for archive in kept.archives:
        archive.unlink()
    answer = kept.verify("--key", kept.key)
    assert "not checked: 300 events are in archives that are not here\n" in answer.output
    assert answer.exit_code == INTACT


def test_nothing_is_changed(kept: Kept) -> None:
    """Not a byte, and no file is made."""

    def content() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in kept.data.rglob("*") if path.is_file()}

    before = content()
    assert kept.verify().exit_code == INTACT
    assert content().keys() - before.keys() <= {kept.data / f"{FILE}-{it}" for it in ("shm", "wal")}
    assert {path: content()[path] for path in before} == before


def test_beside_a_running_service(shared: Serving, tmp_path: Path) -> None:
    """With a checkpoint that it has signed."""
    image = tmp_path / "image"
    image.write_bytes(b"x" * 65536)
    ask("library", "add", image, "--name", "Debian", "--data", shared.data)
    note = tmp_path / "checkpoint"
    note.write_text(ask("audit", "checkpoint", "--data", shared.data).out)
    ask("library", "add", image, "--name", "Fedora", "--data", shared.data)
    answer = ask("audit", "verify", "--checkpoint", note, "--data", shared.data)
    assert answer.out.endswith("\nintact\n")
    assert (answer.code, answer.err) == (INTACT, "")


# As JSON


def found(kept: Kept) -> dict[str, Any]:
    answer = kept.verify("--key", kept.key, "--json")
    fields: dict[str, Any] = json.loads(answer.stdout)
    assert answer.exit_code == (INTACT if fields["intact"] else NOT_INTACT)
    return fields


def test_as_json(kept: Kept) -> None:
    assert found(kept) == {
        "intact": True,
        "key_from_data_directory": False,
        "checkpoint": {"origin": "job-ledger/test", "size": 363, "epoch": 1, "position": 363},
        "events": 369,
        "epoch": 1,
        "in_store": 69,
        "in_archives": 300,
        "not_checked": 0,
        "found": 0,
        "findings": [],
    }


def test_findings_as_json(kept: Kept) -> None:
    """With the kind of each, and where it is."""
    with behind_its_back(kept.data / FILE) as connection:
        connection.execute("DELETE FROM stored_events WHERE leaf_index IN (366, 367)")
    assert found(kept)["findings"] == [
        {
            "finding": "missing",
            "first_leaf": 366,
            "last_leaf": 367,
            "text": "the events of leaves 366 to 367 are missing",
        },
        {
            "finding": "version-gap",
            "position": 369,
            "stream": "job-00063",
            "text": "the event at position 369 does not follow what came before it in job-00063",
        },
    ]


def test_only_the_first_findings_are_shown(kept: Kept) -> None:
    with behind_its_back(kept.data / FILE) as connection:
        connection.execute("UPDATE stored_events SET leaf = zeroblob(32)")
    assert (found(kept)["found"], len(found(kept)["findings"])) == (69, 5)
    assert "NOT INTACT, 69 findings, the first of each kind:\n" in kept.verify().output


def test_a_restore_is_told_from_tampering(kept: Kept) -> None:
    """In words; the checkpoint's ledger is not here any more, so it is not intact."""
    signer = signer_of(kept.data, new_id=lambda: "test")
    history = History(kept.data, 90_000)
    now = history.checkpoint()._replace(origin=signer.name)
    lost = now._replace(size=now.size + 7, root=bytes(32))
    kept.note.write_text(signer.sign(lost.text()))
    history.restore(2, signer)
    history.jobs(1)
    history.close()
    answer = kept.verify("--key", kept.key)
    assert answer.output.endswith(
        "NOT INTACT, by a restore:\n"
        "  restored: epoch 2 began with a backup of the first 369 events; what was recorded after"
        " the backup is lost, 7 events of this checkpoint among it\n"
    )
    assert answer.exit_code == NOT_INTACT


# Bad events and archives


def edit(kept: Kept, statement: str, *values: object) -> None:
    with behind_its_back(kept.data / FILE) as connection:
        connection.execute(statement, values)


def unknown_event(kept: Kept) -> None:
    edit(kept, "UPDATE stored_events SET topic = 'job-created/9' WHERE leaf_index = 310")


def unknown_act(kept: Kept) -> None:
    """Stored as if a later program had."""
    topic, stream = "ledger-compacted/9", "compaction-forged"
    leaf = leaf_hash(stream, 1, topic, b"{}")
    edit(
        kept,
        "INSERT INTO stored_events VALUES (370, 369, ?, 1, ?, ?, ?)",
        stream,
        topic,
        b"{}",
        leaf,
    )
    edit(kept, "UPDATE leaf_count SET leaves = 370")


def truncated_archive(kept: Kept) -> None:
    file = kept.archives[0]
    file.write_bytes(file.read_bytes()[:-1])


def edited_archive(kept: Kept) -> None:
    file = kept.archives[0]
    content = file.read_bytes()
    file.write_bytes(content[:100] + b"?" + content[101:])


def reordered_archive(kept: Kept) -> None:
    shelf = Shelf(kept.data / "archive")
    (name,) = shelf.names()
    held = list(shelf.get(name).events())
    held[7], held[8] = (
        held[8]._replace(position=held[7].position),
        held[7]._replace(position=held[8].position),
    )
    write_archive(kept.data / "archive", name, held, ())


def foreign_archive(kept: Kept) -> None:
    history = History(kept.data.parent / "foreign")
    history.jobs(400)
    history.discard(200)
    history.compact()
    history.close()
    (foreign,) = history.archives.glob("*.jsonl.zst")
    shutil.copy(foreign, kept.data / "archive" / "foreign.jsonl.zst")


def swapped_archive(kept: Kept) -> None:
    foreign_archive(kept)
    (kept.data / "archive" / "foreign.jsonl.zst").rename(kept.archives[0])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (unknown_event, "the event at position 311 was changed: its leaf hash is not that"),
        (unknown_act, "the event at position 370 cannot be read: no event is stored under the"),
        (truncated_archive, "it does not end as an archive ends"),
        (edited_archive, "a part of it was changed, or lies elsewhere"),
        (reordered_archive, "it is not the file that was written: its digest is another"),
        (foreign_archive, "archive foreign: no event says that it was written"),
        (swapped_archive, "it is not the file that was written: its digest is another"),
    ],
    ids=lambda it: getattr(it, "__name__", ""),
)
def test_bad_events_and_archives(kept: Kept, make: Callable[[Kept], None], says: str) -> None:
    """Are named."""
    make(kept)
    texts = [finding["text"] for finding in found(kept)["findings"]]
    assert any(says in text for text in texts), texts


# Bad checkpoints and keys

OTHER = Signer("job-ledger/other", bytes(32))


def truncated_note(kept: Kept) -> None:
    kept.note.write_bytes(kept.note.read_bytes()[:-1])


def half_a_note(kept: Kept) -> None:
    kept.note.write_bytes(kept.note.read_bytes()[:40])


def edited_note(kept: Kept) -> None:
    kept.note.write_text(kept.note.read_text().replace("\n363\n", "\n362\n"))


def reordered_note(kept: Kept) -> None:
    lines = kept.note.read_text().splitlines(keepends=True)
    kept.note.write_text("".join([lines[1], lines[0], *lines[2:]]))


def no_note(kept: Kept) -> None:
    kept.note.write_bytes(b"\xff\x00" * 100)


def endless_note(kept: Kept) -> None:
    kept.note.write_bytes(b"x" * 2**20)


def foreign_note(kept: Kept) -> None:
    kept.note.write_text(OTHER.sign(Checkpoint(OTHER.name, 1, bytes(32), 1, 1).text()))


def misattributed_note(kept: Kept) -> None:
    """Signed by the right key, for another ledger."""
    signer = signer_of(kept.data, new_id=lambda: "test")
    kept.note.write_text(signer.sign(Checkpoint("elsewhere", 1, bytes(32), 1, 1).text()))


def note_of_something_else(kept: Kept) -> None:
    kept.note.write_text(signer_of(kept.data, new_id=lambda: "test").sign("hello\n"))


def wrong_key(kept: Kept) -> None:
    kept.key.write_text(str(OTHER.verifier))


def wrong_key_of_the_same_name(kept: Kept) -> None:
    kept.key.write_text(str(Signer("job-ledger/test", bytes(32)).verifier))


NOT_SIGNED = "Error: {note}: not signed by job-ledger/test with the key "


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (truncated_note, "Error: {note}: the note has no signatures, or was cut short"),
        (half_a_note, "Error: {note}: the note has no signatures, or was cut short"),
        (edited_note, "Error: {note}: the signature of job-ledger/test does not fit this text"),
        (reordered_note, "Error: {note}: the signature of job-ledger/test does not fit this text"),
        (no_note, "Error: {note}: the note is not UTF-8"),
        (endless_note, "Error: {note}: the note has more than 65536 bytes"),
        (foreign_note, NOT_SIGNED),
        (misattributed_note, "Error: {note}: the checkpoint is of elsewhere, and signed by job"),
        (note_of_something_else, "Error: {note}: the note is not a checkpoint of a ledger"),
        (wrong_key, "Error: {note}: not signed by job-ledger/other with the key "),
        (wrong_key_of_the_same_name, NOT_SIGNED),
    ],
    ids=lambda it: getattr(it, "__name__", ""),
)
def test_bad_checkpoints(kept: Kept, make: Callable[[Kept], None], says: str) -> None:
    """Are named, and verify nothing."""
    make(kept)
    answer = kept.verify("--key", kept.key)
    assert answer.output.startswith(says.format(note=kept.note))
    assert answer.exit_code == NOT_INTACT


# What could not run


def no_ledger(kept: Kept) -> None:
    for file in kept.data.glob(f"{FILE}*"):
        file.unlink()


def no_database(kept: Kept) -> None:
    no_ledger(kept)
    (kept.data / FILE).write_bytes(b"no database " * 1000)


def another_database(kept: Kept) -> None:
    no_ledger(kept)
    edit(kept, "CREATE TABLE something (other)")


def no_directory_of_archives(kept: Kept) -> None:
    shutil.rmtree(kept.data / "archive")
    (kept.data / "archive").touch()


def no_such_note(kept: Kept) -> None:
    kept.note.unlink()


def no_such_key(kept: Kept) -> None:
    kept.key.unlink()


def a_secret_key(kept: Kept) -> None:
    shutil.copy(kept.data / KEY_FILE, kept.key)


def no_key(kept: Kept) -> None:
    kept.key.write_bytes(b"\xff")


def a_checkpoint_that_ends_in_an_archive(kept: Kept) -> None:
    signer = signer_of(kept.data, new_id=lambda: "test")
    kept.note.write_text(signer.sign(Checkpoint(signer.name, 100, bytes(32), 1, 100).text()))
    for archive in kept.archives:
        archive.unlink()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (no_ledger, "Error: cannot open "),
        (no_database, "Error: cannot open "),
        (another_database, "Error: SQLite: no such table: stored_events"),
        (no_directory_of_archives, "Error: {archive}: it cannot be read: Not a directory"),
        (no_such_note, "Error: {note}: No such file or directory"),
        (no_such_key, "Error: {key}: No such file or directory"),
        (a_secret_key, "Error: {key}: "),
        (no_key, "Error: {key}: "),
        (a_checkpoint_that_ends_in_an_archive, "Error: the checkpoint of 100 events ends among"),
    ],
    ids=lambda it: getattr(it, "__name__", ""),
)
def test_what_could_not_run(kept: Kept, make: Callable[[Kept], None], says: str) -> None:
    """Does not end with 1, which says that the ledger is bad."""
    make(kept)
    answer = kept.verify("--key", kept.key)
    named = {"note": kept.note, "key": kept.key, "archive": kept.data / "archive"}
    assert answer.output.startswith(says.format(**named))
    assert answer.exit_code == COULD_NOT_RUN


def test_without_any_key(kept: Kept) -> None:
    (kept.data / VERIFIER_FILE).unlink()
    answer = kept.verify()
    assert answer.output.startswith(f"Error: {kept.data / VERIFIER_FILE}: ")
    assert answer.exit_code == COULD_NOT_RUN
