"""A failing disk: everything that was acknowledged is kept, and nothing else is acknowledged."""

import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.opened import Opened
from tests.support.wait import PATIENCE_S

ROOT = Path(__file__).parents[3]
STRACE = shutil.which("strace")
COUNT = 30

pytestmark = pytest.mark.process


class Said:
    """What the process said, in order."""

    def __init__(self, output: str) -> None:
        self.lines = [line.split() for line in output.splitlines()]

    def about(self, word: str) -> list[str]:
        return [line[1] for line in self.lines if line[0] == word]

    @property
    def told(self) -> int:
        return [line[0] for line in self.lines].count("told")


def acknowledging(file: Path, *, limit_bytes: int | None = None, inject: str | None = None) -> Said:
    """Runs `tests.support.acknowledging`, with failing system calls if wanted.

    The ledger is there already, so that opening it takes few calls: they are counted by thread.
    """
    Opened(file).close()
    command = [sys.executable, "-W", "error", "-m", "tests.support.acknowledging", str(file)]
    command += [str(COUNT)] + ([] if limit_bytes is None else [str(limit_bytes)])
    if inject is not None:
        assert STRACE is not None
        command = [STRACE, "-f", "-qq", "-o", os.devnull, "-e", f"inject={inject}", *command]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Said(done.stdout)


def check_nobody_was_lied_to(file: Path, said: Said) -> None:
    """Fail-stop, then recovery: all that was acknowledged is kept, and at most one command more."""
    acknowledged, refused = said.about("acknowledged"), said.about("refused")
    assert acknowledged, "the failure came too early to say anything"
    assert refused, "the failure never came"
    assert [f"d{nth}" for nth in range(COUNT)] == acknowledged + refused, (
        "it went on after a failure"
    )
    assert said.told == 1
    with Opened(file) as opened:
        there = [drive for drive in acknowledged + refused if opened.current(f"drive-{drive}")]
        assert acknowledged == there[: len(acknowledged)]
        assert set(there) - set(acknowledged) <= {refused[0]}, "a refused command came to be"
        with opened.snapshot() as snapshot:
            assert sorted(there) == sorted(snapshot.unfinished_drives())
        assert opened.replay().divergence is None
        assert opened.failures == []
    with Opened(file) as opened, opened.ledger.log() as log:
        found = [event.position for event in log.events()]
        assert all(earlier < later for earlier, later in pairwise(found))


@pytest.mark.skipif(STRACE is None, reason="strace is missing: failing fsyncs cannot be injected")
@pytest.mark.parametrize("when", ["15", "15+", "29", "29+"], ids=lambda when: f"fsync {when}")
def test_a_failing_fsync_stops_the_writer_for_good(tmp_path: Path, when: str) -> None:
    """Also one that fails only once: after it SQLite would go on acknowledging."""
    file = tmp_path / "ledger.sqlite"
    said = acknowledging(file, inject=f"fdatasync,fsync:error=EIO:when={when}")
    check_nobody_was_lied_to(file, said)


@pytest.mark.skipif(STRACE is None, reason="strace is missing: failing writes cannot be injected")
@pytest.mark.parametrize("error", ["EIO", "EDQUOT"])
def test_a_failing_write_stops_the_writer_for_good(tmp_path: Path, error: str) -> None:
    """One write that fails is enough; to SQLite a quota is like any other failure."""
    file = tmp_path / "ledger.sqlite"
    said = acknowledging(file, inject=f"pwrite64:error={error}:when=200")
    check_nobody_was_lied_to(file, said)


@pytest.mark.skipif(STRACE is None, reason="strace is missing: failing writes cannot be injected")
def test_a_write_without_room_refuses_a_command_and_no_more(tmp_path: Path) -> None:
    """SQLite has rolled it back, so that the next command finds what was there before."""
    file = tmp_path / "ledger.sqlite"
    said = acknowledging(file, inject="pwrite64:error=ENOSPC:when=200")
    (refused,) = said.about("refused")
    assert said.told == 0
    with Opened(file) as opened:
        there = {f"d{nth}" for nth in range(COUNT) if opened.current(f"drive-d{nth}")}
        assert there == {*said.about("acknowledged")} == {f"d{n}" for n in range(COUNT)} - {refused}
        assert opened.replay().divergence is None


def test_a_limit_of_file_sizes_stops_the_writer_for_good(tmp_path: Path) -> None:
    """Files may not grow any more in the middle of a transaction."""
    file = tmp_path / "ledger.sqlite"
    said = acknowledging(file, limit_bytes=150_000)
    check_nobody_was_lied_to(file, said)


def test_without_a_fault_everything_is_acknowledged(tmp_path: Path) -> None:
    """So that the tests above fail for what they inject."""
    said = acknowledging(tmp_path / "ledger.sqlite")
    assert len(said.about("acknowledged")) == COUNT
    assert said.told == 0
