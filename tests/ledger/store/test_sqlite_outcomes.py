"""An error at any statement or system call: what is claimed of a command is the fact.

The fact is what the next start finds.
"""

import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger.domain.errors.store import StoreFull
from ledger.domain.outcomes import outcome_of
from tests.support.failing_calls import BEGUN, HARMLESS
from tests.support.opened import Opened
from tests.support.sqlite_commands import COMMANDS, begin
from tests.support.wait import PATIENCE_S

ROOT = Path(__file__).parents[3]
STRACE = shutil.which("strace")
NTH = 120
"""The call that fails in each thread; opening a ledger takes fewer, and so does a command."""
DRAWN = 2
"""Statements of each command that fail, besides its commit; all of them with --long."""


class Failing:
    """Lets one statement fail, before or after it is executed."""

    def __init__(self) -> None:
        self.left: float = float("inf")
        self.code = sqlite3.SQLITE_IOERR_WRITE
        self.passed: list[str] = []

    def passes(self, sql: str, execute: Any, *, after: bool) -> Any:
        self.left -= 1
        self.passed.append(sql)
        if self.left < 0 and not after:
            raise self._error()
        result = execute()
        if self.left < 0:
            raise self._error()
        return result

    def _error(self) -> sqlite3.OperationalError:
        self.left = float("inf")
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = self.code
        return error


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Failing:
    """The statements of ledgers that are opened from now on."""
    failing, after = Failing(), getattr(request, "param", False)

    class FailingCursor(sqlite3.Cursor):
        def execute(self, sql: str, *given: Any) -> Any:
            parent = super()
            return failing.passes(sql, lambda: parent.execute(sql, *given), after=after)

        def executemany(self, sql: str, rows: Any) -> Any:
            parent = super()
            return failing.passes(sql, lambda: parent.executemany(sql, rows), after=after)

    class FailingConnection(sqlite3.Connection):
        def cursor(self, *_: Any) -> Any:
            return super().cursor(FailingCursor)

        def commit(self) -> None:
            failing.passes("COMMIT", super().commit, after=after)

    really = sqlite3.connect

    def connect(address: str, **given: Any) -> sqlite3.Connection:
        if "mode=rwc" in address:
            given["factory"] = FailingConnection
        return really(address, **given)

    monkeypatch.setattr(sqlite3, "connect", connect)
    return failing


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    with Opened(tmp_path / BEGUN) as opened:
        begin(opened)
    return tmp_path / BEGUN


def copied(begun: Path, name: str) -> Path:
    return Path(shutil.copy(begun, begun.with_name(f"{name}.sqlite")))


def is_there(file: Path, name: str) -> bool:
    """What the next start finds."""
    with Opened(file) as opened:
        found = COMMANDS[name].is_there(opened)
        assert opened.replay().divergence is None
    return found


def check(name: str, claim: str, *, there: bool, where: str) -> None:
    assert claim in ("recorded", "not-recorded", "unknown")
    assert claim == "unknown" or there == (claim == "recorded"), (name, where, claim, there)


def points(statements: int, seed: int, request: pytest.FixtureRequest) -> Iterator[int]:
    every = range(statements)
    if not request.config.getoption("--long"):
        drawn = random.Random(seed)  # noqa: S311 - to run it again
        yield from drawn.sample(every[:-1], DRAWN)
        every = every[-1:]  # the commit
    yield from every


@pytest.mark.parametrize("failing", [False, True], ids=["before", "after"], indirect=True)
@pytest.mark.parametrize("name", COMMANDS)
def test_an_error_at_a_statement(
    begun: Path, name: str, failing: Failing, seed: int, request: pytest.FixtureRequest
) -> None:
    """Only one in the commit leaves it open, and the command may be there then."""
    with Opened(copied(begun, "uncut")) as opened:
        failing.passed.clear()
        COMMANDS[name].run(opened)
        statements = failing.passed.copy()
    assert statements[-1] == "COMMIT"
    for point in points(len(statements), seed, request):
        file = copied(begun, f"point-{point}")
        with Opened(file) as opened:
            failing.left = point
            with pytest.raises(Exception, match="disk I/O error") as failed:
                COMMANDS[name].run(opened)
        claim = outcome_of(failed.value)
        assert (claim == "unknown") == (statements[point] == "COMMIT")
        check(name, claim, there=is_there(file, name), where=statements[point])


def test_a_full_disk_in_a_commit_leaves_nothing(begun: Path, failing: Failing) -> None:
    """SQLite has rolled it back, and says so."""
    failing.code = sqlite3.SQLITE_FULL
    with Opened(copied(begun, "uncut")) as opened:
        failing.passed.clear()
        COMMANDS["tag"].run(opened)
        statements = len(failing.passed)
    with Opened(begun) as opened:
        failing.left = statements - 1
        with pytest.raises(StoreFull) as failed:
            COMMANDS["tag"].run(opened)
        assert outcome_of(failed.value) == "not-recorded"
        COMMANDS["tag"].run(opened)
        assert opened.failures == []


@pytest.mark.skipif(STRACE is None, reason="strace is missing: failing calls cannot be injected")
@pytest.mark.parametrize(
    "call",
    [pytest.param(call, marks=[] if "data" in call else pytest.mark.long) for call in HARMLESS],
)
@pytest.mark.thorough
def test_an_error_at_a_system_call(begun: Path, call: str) -> None:
    claims = claims_of(begun, call)
    assert len(claims) > len(COMMANDS)
    assert "unknown" in claims.values() or call in ("pread64", "fcntl")
    for file, claim in claims.items():
        name = file.partition("-")[0]
        check(name, claim, there=is_there(begun.with_name(file), name), where=file)


def claims_of(begun: Path, call: str) -> dict[str, str]:
    """Return what was claimed after each call of each command, by the ledger's file."""
    assert STRACE is not None
    inject = ("-e", f"trace={call}", "-e", f"inject={call}:error=EIO:when={NTH}")
    program = (sys.executable, "-m", "tests.support.failing_calls", begun.parent, call, str(NTH))
    done = subprocess.run(
        (STRACE, "-f", "--seccomp-bpf", "-qq", "-o", os.devnull, *inject, *program),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(line.split() for line in done.stdout.splitlines())
