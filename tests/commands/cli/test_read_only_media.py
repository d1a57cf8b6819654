"""A ledger on read-only media is audited there: all of it, or words that say why not."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ledger.domain.commands.jobs import CreateJob
from tests.commands.cli.old_ledger import old_ledger
from tests.commands.cli.processes import Answer, ask
from tests.support.opened import Opened
from tests.support.world import ME

LATE = "late"
"""A job whose events are in the WAL only."""

Burn = Callable[[Path], Path]


@pytest.fixture
def burn(tmp_path: Path) -> Iterator[Burn]:
    """Copies a data directory to a file system that is read-only from then on."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", disk]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("nothing may be mounted here")

    def burnt(data: Path) -> Path:
        copy = shutil.copytree(data, disk / "data")
        copy.chmod(0o700)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        return copy

    yield burnt
    subprocess.run(["umount", disk], check=True)


@pytest.fixture
def note(data: Path) -> Path:
    """A checkpoint of a ledger with an archive."""
    old_ledger(data, "a")
    assert ask("retention", "run", "--data", data).code == 0
    note = data.with_name("note")
    note.write_text(ask("audit", "checkpoint", "--data", data).out)
    return note


@pytest.fixture
def live(data: Path, note: Path) -> Path:
    """A copy of the ledger from while it was written, with a WAL that holds the newest job."""
    copy = data.with_name("live")
    with Opened(data / "ledger.sqlite") as opened:
        opened.do(CreateJob(ME, LATE, "x"))
        shutil.copytree(data, copy)
    assert (copy / "ledger.sqlite-wal").stat().st_size > 0
    return copy


def audited(data: Path, note: Path) -> list[Answer]:
    at = ("--data", data)
    return [
        ask("audit", "replay", "--with-archive", *at),
        ask("audit", "verify", "--checkpoint", note, *at),
        ask("doctor", *at),
    ]


def test_a_ledger_that_was_closed(data: Path, note: Path, burn: Burn) -> None:
    """Nothing of SQLite's lies beside the file, and nothing can be made there."""
    for file in data.glob("ledger.sqlite-*"):
        file.unlink()
    replay, verify, doctor = audited(burn(data), note)
    assert "sound" in replay.out
    assert "\nintact" in verify.out
    assert "nothing is wrong" in doctor.out


def test_a_ledger_with_a_wal(live: Path, note: Path, burn: Burn) -> None:
    """What is only in the WAL is read, too."""
    burnt = burn(live)
    assert [answer.code for answer in audited(burnt, note)] == [0, 0, 0]
    assert LATE in ask("audit", "replay", "--job", LATE, "--data", burnt).out


def test_a_wal_that_cannot_be_read(live: Path, note: Path, burn: Burn) -> None:
    """It is not passed over: a ledger without its newest events would look sound."""
    (live / "ledger.sqlite-shm").unlink()
    for answer in audited(burn(live), note):
        assert answer.code != 0
        said = " ".join((answer.out + answer.err).split())
        assert "the newest commits are in ledger.sqlite-wal, which cannot be read" in said
