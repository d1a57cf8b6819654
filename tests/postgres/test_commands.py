"""A service on PostgreSQL, and every command with and without it running."""

from pathlib import Path

from tests.acceptance.client import sha256, striped
from tests.acceptance.running import Machine
from tests.postgres.beginning import begin, check

COMMANDS = (
    ("audit", "replay"),
    ("audit", "replay", "--with-archive"),
    ("rebuild",),
    ("retention", "show"),
    ("retention", "plan"),
    ("retention", "run"),
    ("parked", "list"),
    ("token", "list"),
    ("library", "list"),
)


def check_all(machine: Machine) -> None:
    """Every command does what it does; a checkpoint that was kept proves the ledger."""
    for words in COMMANDS:
        check(machine, *words)
    found = machine.command("doctor", "--pool", f"main={machine.pool}").stdout
    wrong = [line for line in found.splitlines() if line.startswith("WRONG")]
    assert wrong == [
        f"WRONG: {name} is off: what is acknowledged may be lost ({name.replace('_', '-')})"
        for name in ("fsync", "full_page_writes")
    ]  # of these servers
    note = machine.data.with_name("checkpoint")
    note.write_text(check(machine, "audit", "checkpoint"))
    assert "INTACT" in check(machine, "audit", "verify", "--checkpoint", str(note)).upper()
    machine.check_sound()


def test_a_clone_and_every_command(machine: Machine, database: str) -> None:
    """A clone is the source; commands work while the service runs, and after it was killed."""
    server = begin(machine, database)
    content = striped(2)
    source = server.api.upload(content)
    clone = server.api.clone(source)
    server.api.succeed(clone.job)
    assert sha256(server.api.download(clone.uuid)) == sha256(content)
    check(machine, "retention", "set", "PT0S")
    check_all(machine)
    assert server.api.call("GET", f"/jobs/{clone.job}/").status_code == 404
    assert not (machine.data / "ledger.sqlite").exists()

    server.kill()
    check_all(machine)
    again = machine.start()
    assert {drive["uuid"] for drive in again.api.drives()} == {source, clone.uuid}
    second = again.api.clone(source)
    again.api.succeed(second.job)
    assert again.stop() == 0


def test_commands_for_sqlite_only_say_so(machine: Machine, database: str, tmp_path: Path) -> None:
    """A backup is the database's own."""
    begin(machine, database)
    done = machine.command("backup", str(tmp_path / "backup"))
    assert done.returncode == 1
    assert "pg_dump" in done.stderr
