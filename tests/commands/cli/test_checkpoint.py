"""`job-ledger audit checkpoint`: what somebody else is to keep."""

from pathlib import Path

import pytest

from ledger.merkle.signed_note import Checkpoint, read_checkpoint
from ledger.proofs.keys import KEY_FILE, signer_of, verifier_of
from ledger.store.sqlite.connections import sqlite_reader
from ledger.store.sqlite.store import SqliteStore
from projections.views.generations import InlineProjection
from tests.commands.cli.processes import Serving, ask, run


def checkpoint(data: Path) -> Checkpoint:
    answer = ask("audit", "checkpoint", "--data", data)
    assert (answer.code, answer.err) == (0, "")
    return read_checkpoint(answer.out.encode(), verifier_of(data))


@pytest.mark.parametrize("running", [True, False], ids=["running", "alone"])
def test_a_checkpoint_of_now(shared: Serving, data: Path, *, running: bool) -> None:
    """Signed with the key of the data directory, which is the service's too."""
    where = shared.data if running else data
    image = where.with_name("image")
    image.write_bytes(b"x" * 65536)
    assert ask("library", "add", image, "--name", "Debian", "--data", where).code == 0
    found = checkpoint(where)
    with sqlite_reader(where / "ledger.sqlite").log() as log:
        assert (found.size, found.position) == (log.leaf_count(), log.last_position())
    assert found.size > 0


def test_without_a_ledger_there_is_none(data: Path) -> None:
    """And no key is made for it."""
    answer = ask("audit", "checkpoint", "--data", data)
    assert answer.code == 1
    assert answer.err.startswith("Error: cannot open ")
    assert not data.exists()


def test_a_key_that_others_may_read_is_refused(data: Path) -> None:
    """By the service too, which then does not start."""
    data.mkdir()
    signer_of(data, new_id=lambda: "test")
    SqliteStore(data / "ledger.sqlite", InlineProjection()).close()
    (data / KEY_FILE).chmod(0o644)
    for how, command in (ask, ("audit", "checkpoint")), (run, ("serve", "--port", "0")):
        answer = how(*command, "--data", data)
        assert answer.code == 2
        assert answer.err == (
            f"Error: others may read {data / KEY_FILE}: its mode is 0644, not 0600\n"
        )
