"""Backups of a service that is at work, and what comes of them elsewhere."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from ledger.merkle.signed_note import read_checkpoint
from ledger.proofs.keys import verifier_of
from tests.acceptance.client import data_blocks, sha256
from tests.acceptance.conftest import account_data, machine
from tests.acceptance.running import Machine, Server, run_command
from tests.support.wait import wait_for

__all__ = ["account_data", "machine"]

MIB = 1024**2
CLIENTS = 8
ONCE = {"Idempotency-Key": "once"}
DRIVE = {"media": "disk", "size": 512 * MIB, "name": "blank"}


class Clients:
    """Create drives one after the other, all at once, for as long as the block lasts."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._over = threading.Event()
        self._threads = ThreadPoolExecutor(CLIENTS)
        self.acknowledged: list[str] = []

    def __enter__(self) -> Self:
        self._running = [self._threads.submit(self._create) for _ in range(CLIENTS)]
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for one in self._running:
            one.result()
        self._threads.shutdown()

    def _create(self) -> None:
        with self._server.api.another() as api:
            while not self._over.is_set():
                answer = api.post("/drives/", DRIVE, status=201)
                self.acknowledged.append(answer["objects"][0]["uuid"])


def back_up(machine: Machine, backup: Path, *options: str) -> str:
    """The checkpoint that is printed."""
    done = machine.command("backup", str(backup), *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def restored(machine: Machine, backup: Path, directory: Path) -> Machine:
    """Another machine, with its own pool."""
    other = Machine(directory / "data", directory / "pool", directory / "server.log")
    pool = f"main={other.pool}"
    done = run_command("restore", str(backup), "--data", str(other.data), "--pool", pool)
    assert done.returncode == 0, done.stderr
    return other


def test_a_backup_while_many_write(machine: Machine, tmp_path: Path) -> None:
    """What was acknowledged before it is in it, it is sound, and nobody waited for it.

    Accounts come along, and what requests were answered with.
    """
    backup = tmp_path / "backup"
    server = machine.start()
    answer = server.api.call("POST", "/drives/", json=DRIVE, headers=ONCE)
    with Clients(server) as clients:
        wait_for("for some drives", lambda: len(clients.acknowledged) > 50)
        before = list(clients.acknowledged)
        note = back_up(machine, backup)
        meanwhile = len(clients.acknowledged) - len(before)
    assert meanwhile > 0, "nobody was answered while the backup was made"
    other = restored(machine, backup, tmp_path / "other")
    assert read_checkpoint(note.encode(), verifier_of(other.data)).epoch == 1
    try:
        again = other.start()
        shown = {drive["uuid"] for drive in again.api.drives()}
        first = answer.json()["objects"][0]["uuid"]
        assert {first, *before} <= shown <= {first, *clients.acknowledged}
        repeated = again.api.call("POST", "/drives/", json=DRIVE, headers=ONCE)
        assert (repeated.status_code, repeated.content) == (201, answer.content)
        assert again.stop() == 0
    finally:
        other.close()
    other.check_sound()


def test_a_clone_that_ran_ends_after_the_restore(machine: Machine, tmp_path: Path) -> None:
    """From the beginning, for its part file is gone; but its progress never goes back."""
    content = data_blocks(6 * MIB // (64 * 1024))
    api = machine.start("--copy-rate", "32K").api  # so that it does not end before the backup has
    source = api.upload(content)
    clone = api.clone(source)
    wait_for("for progress", lambda: api.job(clone.job)["data"]["progress"] > 0)
    before = api.job(clone.job)["data"]["progress"]
    back_up(machine, tmp_path / "backup", "--images")
    other = restored(machine, tmp_path / "backup", tmp_path / "other")
    assert other.files() == {f"{source}.img"}
    try:
        again = other.start().api
        seen = again.follow(clone.job)
        assert seen[-1]["state"] == "success"
        assert min(job["data"]["progress"] for job in seen) >= before
        assert sha256(again.download(clone.uuid)) == sha256(content)
        assert sha256(again.download(source)) == sha256(content)
    finally:
        other.close()
    attempts = [event for event in other.history(clone.job) if event.name == "job-attempt-started"]
    assert len(attempts) == 2
