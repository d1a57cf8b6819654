"""A ledger that is dumped while it is written to, and restored into another database."""

import shutil
import subprocess
from pathlib import Path
from threading import Event, Thread

import pytest
from click.testing import CliRunner

from api.cli.commands.adopt import adopt
from api.service.ids import new_id
from ledger.domain.errors.store import StoreFailed
from ledger.proofs.keys import signer_of
from ledger.store.postgres import locks as pg_locks
from ledger.store.postgres.store import PostgresStore
from ledger.store.postgres.tables import move_in
from projections.maintenance.backup.errors import NotRestored
from projections.views.postgres_writer import PostgresProjection
from tests.acceptance.client import Api, sha256, striped
from tests.acceptance.running import Machine, run_command
from tests.postgres.beginning import begin, check
from tests.support.cluster import BIN, environment
from tests.support.postgres import PostgresServer

KEPT = ("checkpoint.key", "checkpoint.pub", "archive")


def run(*words: str) -> None:
    subprocess.run([BIN / words[0], *words[1:]], check=True, env=environment())


def archive_a_clone(machine: Machine, api: Api, source: str) -> str:
    """Of a job that is over and discarded; what its clone is called."""
    clone = api.clone(source)
    api.succeed(clone.job)
    check(machine, "retention", "run")
    assert api.status(f"/jobs/{clone.job}/") == 404
    return clone.uuid


def clone_until(stop: Event, api: Api, source: str) -> None:
    with api:
        while not stop.is_set():
            api.clone(source)


def dump_under_load(api: Api, source: str, database: str, dump: Path) -> None:
    stop = Event()
    cloning = Thread(target=clone_until, args=(stop, api.another(), source))
    cloning.start()
    try:
        run("pg_dump", "-Fc", "-f", str(dump), database)
    finally:
        stop.set()
        cloning.join()


def put_back(machine: Machine, dump: Path, database: str) -> Machine:
    """Another data directory with what is kept beside the dump, and a database out of it."""
    run("pg_restore", "--exit-on-error", "-d", database, str(dump))
    data = machine.data.with_name("put-back")
    data.mkdir(mode=0o700)
    for name in KEPT:
        kept = machine.data / name
        (shutil.copytree if kept.is_dir() else shutil.copy2)(kept, data / name)
    return Machine(data, machine.pool, machine.log)


@pytest.mark.long
def test_a_dump_is_restored(machine: Machine, postgres: PostgresServer, tmp_path: Path) -> None:
    """Everything up to the dump is there and proved; what came later is recognized as lost."""
    database, other = postgres.new_database(), postgres.new_database()
    server = begin(machine, database)
    content = striped(2)
    source = server.api.upload(content)
    check(machine, "retention", "set", "PT0S")
    before = archive_a_clone(machine, server.api, source)
    note = tmp_path / "kept.checkpoint"
    note.write_text(check(machine, "audit", "checkpoint"))
    dump_under_load(server.api, source, database, tmp_path / "dump")
    lost = archive_a_clone(machine, server.api, source)
    assert server.stop() == 0

    restored = put_back(machine, tmp_path / "dump", other)
    try:
        look_at(restored, other, note)
        again = restored.start()
        drives = {drive["uuid"] for drive in again.api.drives()}
        assert {source, before} <= drives
        assert lost not in drives
        clone = again.api.clone(source)
        again.api.succeed(clone.job)
        assert sha256(again.api.download(clone.uuid)) == sha256(content)
        assert again.stop() == 0
        restored.check_sound()
    finally:
        restored.close()


def look_at(restored: Machine, database: str, note: Path) -> None:
    """Without being adopted it cannot be used; once adopted it is sound."""
    pool = f"main={restored.pool}"
    serve = ("serve", "--port", "0", "--pool", pool, "--store", database)
    refused = restored.command(*serve)
    assert refused.returncode == 1
    assert "job-ledger adopt" in refused.stderr
    kept = restored.command("adopt", "--store", database, "--pool", pool)
    assert kept.returncode == 0, kept.stderr
    assert "this is epoch 2" in kept.stderr
    assert "lost+found" in kept.stderr  # the archive of what is lost, and its image
    assert "INTACT" in check(restored, "audit", "verify", "--checkpoint", str(note)).upper()


def test_a_restored_copy_must_be_adopted(postgres: PostgresServer, tmp_path: Path) -> None:
    """It cannot be used without being adopted."""
    database, other = postgres.new_database(), postgres.new_database()
    PostgresStore(database, PostgresProjection()).close()
    run("pg_dump", "-Fc", "-f", str(tmp_path / "dump"), database)
    run("pg_restore", "--exit-on-error", "-d", other, str(tmp_path / "dump"))
    with pytest.raises(StoreFailed, match="job-ledger adopt"):
        PostgresStore(other, PostgresProjection())
    store = PostgresStore(other, PostgresProjection(), put_back=True)
    store.exclusive(move_in)
    store.close()
    for url in (database, other):
        PostgresStore(url, PostgresProjection()).close()


def test_adopting_a_copy_needs_its_key(database: str, tmp_path: Path) -> None:
    """With another key, the recovery would look like tampering."""
    done = run_command("adopt", "--data", str(tmp_path / "none"), "--store", database)
    assert done.returncode == 1
    assert "checkpoint.key" in done.stderr
    assert not (tmp_path / "none").exists()


def test_a_copy_that_a_service_has_cannot_be_adopted(
    ledger_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that runs on a recovered database must be stopped first."""
    monkeypatch.setattr(pg_locks, "LOCK_WAIT", "10ms")
    signer_of(tmp_path, new_id=new_id)
    store = PostgresStore(ledger_database, PostgresProjection())
    command = ["--data", str(tmp_path), "--store", ledger_database]
    done = CliRunner().invoke(adopt, command)
    assert isinstance(done.exception, NotRestored), done.output
    store.close()
    monkeypatch.undo()
    assert CliRunner().invoke(adopt, command).exit_code == 0
