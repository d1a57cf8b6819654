"""A test that leaves something behind fails, failures explain themselves, and a run cleans up.

Each is shown by a run of pytest on tests that are made up here.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.postgres import STARTED
from tests.support.processes import ROOT, environment
from tests.support.wait import PATIENCE_S, wait_for

FLAWED = """
import asyncio, gc, os, socket, threading, time, warnings
import pytest
from tests.support.processes import start
from tests.harness import leaks

leaks.END_S = 0.05

def test_leaves_a_thread(request):
    over = threading.Event()
    request.session.config.add_cleanup(over.set)
    threading.Thread(target=over.wait, name="left-behind").start()

async def test_awaits_no_failure():
    async def fail():
        raise OSError("unheard")
    task = asyncio.create_task(fail())
    await asyncio.sleep(0)
    del task
    gc.collect()

def test_closes_no_socket():
    socket.socket()
    gc.collect()

def test_awaits_no_coroutine():
    async def never(): ...
    never()
    gc.collect()

def test_leaves_nothing():
    pass
"""
WAITS = """
import threading

def test_hangs():
    threading.Event().wait()
"""
DRAWN = """
import pytest

@pytest.mark.parametrize("number", range(20))
def test_draws(number, request):
    print("drawn", request.config.option.seed)
"""
HALF = """
import pytest

@pytest.mark.long
def test_passes():
    pass

def test_is_mended():
    assert "{state}" == "mended"
"""
WAITS_WITH_A_SERVER = """
import threading

def test_hangs(postgres):
    threading.Event().wait()
"""
FAILS = """
from tests.acceptance.conftest import account_data, machine

def test_asks_in_vain(machine):
    assert machine.start().api.jobs() == ["a job"]
"""


def run(directory: Path, tests: str, *options: str) -> "subprocess.CompletedProcess[str]":
    """Run pytest on these tests, as the suite's are run."""
    with start(directory, tests, *options) as started:
        try:
            out, error = started.communicate(timeout=PATIENCE_S)
        except BaseException:
            started.kill()
            raise
    return subprocess.CompletedProcess(started.args, started.returncode, out, error)


def start(directory: Path, tests: str, *options: str) -> "subprocess.Popen[str]":
    file = directory / "test_made_up.py"
    file.write_text(tests)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        ROOT / "pyproject.toml",
        "-p",
        "tests.conftest",
    ]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    return subprocess.Popen(
        [*command, "-o", f"cache_dir={directory / 'cache'}", *options, file],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=kept | environment(),
    )


@pytest.fixture(scope="module")
def flawed(tmp_path_factory: pytest.TempPathFactory) -> str:
    return run(tmp_path_factory.mktemp("flawed"), FLAWED, "-rA").stdout


@pytest.mark.parametrize(
    ("test", "reason"),
    [
        ("test_leaves_a_thread", "threads that the test left behind: ['left-behind']"),
        ("test_awaits_no_failure", "exceptions that nobody awaited"),
        ("test_closes_no_socket", "unclosed <socket"),
        ("test_awaits_no_coroutine", "was never awaited"),
    ],
)
def test_what_a_test_leaves_behind_fails_it(flawed: str, test: str, reason: str) -> None:
    assert re.search(rf"^(ERROR|FAILED) \S*::{test}", flawed, re.MULTILINE), flawed
    assert reason in flawed


def test_a_test_that_leaves_nothing_passes(flawed: str) -> None:
    assert re.search(r"^PASSED \S*::test_leaves_nothing", flawed, re.MULTILINE)
    assert "::test_leaves_nothing -" not in flawed


def test_a_hang_ends_with_the_stacks_of_all_threads(tmp_path: Path) -> None:
    ended = run(tmp_path, WAITS, "-o", "faulthandler_timeout=0.5")
    assert ended.returncode != 0
    assert "Timeout" in ended.stderr
    assert "in test_hangs" in ended.stderr


def test_a_run_that_is_terminated_ends_what_it_started(tmp_path: Path) -> None:
    """Its PostgreSQL server and its other processes, and its files in memory go."""
    base = tmp_path / "base"
    with start(tmp_path, WAITS_WITH_A_SERVER, "-n", "1", f"--basetemp={base}") as ended:
        note = base / STARTED
        try:
            wait_for("for its server", lambda: note.exists() and note.read_text())
            directory = Path(note.read_text())
            server = (directory / "data" / "postmaster.pid").read_text().split()[0]
            children = Path(f"/proc/{ended.pid}/task/{ended.pid}/children").read_text().split()
        finally:
            ended.terminate()
        out, error = ended.communicate(timeout=PATIENCE_S)
    assert ended.returncode == pytest.ExitCode.INTERRUPTED, out + error
    assert not directory.exists()
    assert children
    for pid in (server, *children):
        assert not Path(f"/proc/{pid}").exists()


def test_a_failure_shows_the_service_and_what_was_asked(tmp_path: Path) -> None:
    failed = run(tmp_path, FAILS).stdout
    assert re.search(r"Log of the server, pid \d+", failed)
    assert "job-ledger listens on" in failed
    assert "Thread ledger-writer (most recent call last)" in failed
    assert re.search(r"GET \S+/jobs/\S* -> 200", failed)


def test_a_long_run_goes_on_where_it_ended(tmp_path: Path) -> None:
    """What has passed is not run again; what has failed is, and nothing left is no failure."""
    options = ("--long",)
    first = run(tmp_path, HALF.format(state="broken"), *options)
    assert "1 failed, 1 passed" in first.stdout
    second = run(tmp_path, HALF.format(state="mended"), *options)
    assert "1 passed, 1 deselected" in second.stdout
    assert "2 tests passed since the files last changed" in second.stdout
    third = run(tmp_path, HALF.format(state="mended"), *options)
    assert "2 deselected" in third.stdout
    assert third.returncode == 0


def seeds(directory: Path, *options: str) -> set[str]:
    return set(re.findall(r"drawn (\d+)", run(directory, DRAWN, "-rA", *options).stdout))


def test_all_processes_of_a_plain_run_have_the_seed_of_the_run_before_it(tmp_path: Path) -> None:
    assert seeds(tmp_path, "-n", "2") == {"0"}


def test_all_processes_of_a_run_that_searches_have_one_new_seed(tmp_path: Path) -> None:
    """Drawn once, or they would not agree on the order."""
    (again := tmp_path / "again").mkdir()
    first, second = seeds(tmp_path, "-n", "2", "--long"), seeds(again, "--long")
    assert [len(first), len(second), len(first & second)] == [1, 1, 0]
