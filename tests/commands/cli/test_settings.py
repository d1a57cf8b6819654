"""What the environment says of a ledger: every command goes by it, and none makes another."""

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from api.cli import cli
from ledger.merkle.signed_note import Checkpoint
from ledger.merkle.tree import EMPTY
from ledger.proofs.keys import VERIFIER_FILE, signer_of

NOWHERE = "postgresql://nobody@127.0.0.1:1/none"
"""Nobody listens there."""
OF_A_SERVICE = frozenset(
    [
        "run",
        "login",
        "logout",
        "jobs",
        "job",
        "watch",
        "cancel",
        "drives",
        "keypairs",
        "servers",
        "clone",
        "upload",
        "download",
        "export",
        "completion",
    ]
)
"""Commands that know nothing of a ledger."""
RUNNING = frozenset({"serve", "worker"})
"""Commands that run until they are stopped; `tests/postgres` has them."""
UNREACHED = "cannot reach PostgreSQL"
IN_SQLITE_ONLY = "PostgreSQL"
WORDS = {
    ("account", "add"): (["a@example.test"], UNREACHED),
    ("account", "list"): ([], UNREACHED),
    ("account", "role"): (["a@example.test", "user"], UNREACHED),
    ("account", "password"): (["a@example.test"], UNREACHED),
    ("account", "remove"): (["a@example.test"], UNREACHED),
    ("token", "add"): (["a@example.test"], UNREACHED),
    ("token", "list"): ([], UNREACHED),
    ("token", "remove"): (["x"], UNREACHED),
    ("token", "change-job-key"): ([], UNREACHED),
    ("library", "add"): ([__file__, "--name", "x"], UNREACHED),
    ("library", "list"): ([], UNREACHED),
    ("library", "remove"): (["53f94b39-2bb6-4aca-80e7-c3ffa8d0224f"], UNREACHED),
    ("rebuild",): ([], UNREACHED),
    ("retention", "show"): ([], UNREACHED),
    ("retention", "set"): (["P3D"], UNREACHED),
    ("retention", "run"): ([], UNREACHED),
    ("retention", "plan"): ([], UNREACHED),
    ("retention", "confirm-clock"): ([], UNREACHED),
    ("parked", "list"): ([], UNREACHED),
    ("parked", "retry"): (["job-1"], UNREACHED),
    ("parked", "skip"): (["job-1"], UNREACHED),
    ("audit", "replay"): ([], UNREACHED),
    ("audit", "checkpoint"): ([], UNREACHED),
    ("audit", "verify"): (["--checkpoint", "{note}", "--key", "{key}"], UNREACHED),
    ("backup",): (["{new}"], IN_SQLITE_ONLY),
    ("restore",): (["{new}"], IN_SQLITE_ONLY),
    ("adopt",): ([], "checkpoint.key is missing"),
    ("move",): (["--to", NOWHERE], "there is no ledger"),
    ("doctor",): ([], UNREACHED),
}


def commands(group: click.Group, *before: str) -> Iterator[tuple[str, ...]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, *before, name)
        else:
            yield *before, name


def test_every_command_is_tested_here() -> None:
    found = {words for words in commands(cli) if words[0] not in OF_A_SERVICE | RUNNING}
    assert found == set(WORDS)


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_a_command_knows_the_store(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger that the environment names cannot be reached: no other one is asked, or made."""
    monkeypatch.setenv("JOB_LEDGER_STORE", NOWHERE)
    data = tmp_path / "data"
    more, says = WORDS[words]
    places = {"new": tmp_path / "new", **signed(tmp_path / "elsewhere")}
    given = [word.format(**places) for word in more]
    done = CliRunner().invoke(cli, [*words, *given, "--data", str(data)])
    assert done.exit_code != 0
    assert says in done.output
    assert not (data / "ledger.sqlite").exists()


def signed(directory: Path) -> dict[str, Path]:
    """A checkpoint of another ledger, and the key that signed it."""
    directory.mkdir()
    signer = signer_of(directory, new_id=lambda: "another")
    note = directory / "note"
    note.write_text(signer.sign(Checkpoint(signer.name, 0, EMPTY, 1, 0).text()))
    return {"note": note, "key": directory / VERIFIER_FILE}
