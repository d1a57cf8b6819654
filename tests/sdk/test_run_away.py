"""A ledger that is away changes nothing for a command, and costs it two seconds at most."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sdk.conftest import REFUSED, environment, lines_in, run_jl, run_python

pytestmark = pytest.mark.process


@pytest.fixture
def silent_url() -> Iterator[str]:
    """Where connections are made, or not even that, and nothing is ever answered."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_without_a_url_nothing_is_written_and_nothing_said(spool: Path) -> None:
    """Not even a spool; the command finds only the file for its progress."""
    env = environment("", JOB_LEDGER_SPOOL=str(spool))
    script = "env | grep ^JOB_LEDGER | cut -d= -f1; echo 1/2 > $JOB_LEDGER_PROGRESS_FILE; exit 3"
    done = run_jl("run", "--", "sh", "-c", script, env=env)
    assert done.returncode == 3
    assert set(done.stdout.decode().split()) == {"JOB_LEDGER_SPOOL", "JOB_LEDGER_PROGRESS_FILE"}
    assert done.stderr == b""
    assert not spool.exists()


def test_what_cannot_be_told_is_spooled_and_nothing_is_said(spool: Path) -> None:
    """The first line is the registration; the token is in it, so nobody else may read it."""
    done = run_jl("run", "--", "sh", "-c", "echo why >&2; exit 3", env=environment(REFUSED, spool))
    assert (done.returncode, done.stdout, done.stderr) == (3, b"", b"why\n")
    registered, ended = lines_in(spool)
    assert (registered["kind"], ended["kind"]) == ("register", "end")
    assert registered["job"] == ended["job"]
    assert ended["body"]["outcome"] == "failed"
    assert ended["body"]["error"] == {"type": "exit.3", "tail": "why\n"}
    [path] = spool.glob("*.jsonl")
    assert path.stat().st_mode & 0o777 == 0o600
    assert spool.stat().st_mode & 0o777 == 0o700


def test_strict_says_that_it_is_not_recorded(spool: Path) -> None:
    env = environment(REFUSED, spool)
    done = run_jl("run", "--strict", "--verbose", "--", "true", env=env)
    assert done.returncode == 125
    assert b"spooled" in done.stderr


def test_one_that_never_answers_is_waited_for_once(silent_url: str, spool: Path) -> None:
    """The mark that it did not answer lasts for five minutes, so the next run does not wait."""
    env = environment(silent_url, spool)
    assert run_jl("run", "--", "true", env=env, is_patient=False).returncode == 0
    [mark] = spool.glob("unreachable-*")
    before = mark.stat().st_mtime_ns
    assert run_jl("run", "--", "sh", "-c", "exit 4", env=env).returncode == 4
    assert mark.stat().st_mtime_ns == before, "it has waited again"
    assert len(lines_in(spool)) == 4


HANG = """
import os, socket, time
socket.getaddrinfo = lambda *_, **__: time.sleep(100000)
"""


def test_a_name_server_that_hangs_hangs_nobody(spool: Path) -> None:
    """Neither a command nor a program; who never ends does not end this test either."""
    code = f"{HANG}sys.exit(jl.main(['run', '--', 'sh', '-c', 'exit 6']))"
    env = environment("http://ledger.test", spool)
    assert run_python(code, env, is_patient=False).returncode == 6
    code = f"{HANG}\nwith jl.job('a'): pass\nprint('done')"
    done = run_python(code, environment("http://other.test", spool), is_patient=False)
    assert (done.returncode, done.stdout) == (0, "done\n")
    assert len(lines_in(spool)) == 4


def test_a_process_waits_for_two_seconds_in_all(silent_url: str, spool: Path) -> None:
    """Whatever it asks for, and however often: what is counted is the time that it was given."""
    code = (
        "job = jl.Job('a').begin()\n"
        "for _ in range(3): job.own_token()\n"
        "left = jl.Courier.wait_left_s\n"
        "job.end(); job.close()\n"
        "print(left <= 0, jl.Courier.wait_left_s == left)"
    )
    done = run_python(code, environment(silent_url, spool), is_patient=False)
    assert done.stdout == "True True\n", done.stderr


@pytest.mark.parametrize("kind", ["a file", "not writable", "full"])
def test_without_a_spool_the_command_is_run(kind: str, tmp_path: Path) -> None:
    """And a program is told once that there is none, by its own logging."""
    spool = Path("/dev/full/spool") if kind == "full" else tmp_path / "spool" / "below"
    if kind == "a file":
        (tmp_path / "spool").write_text("")
    elif kind == "not writable":
        spool = Path("/proc/no-spool")
    env = environment(REFUSED, spool)
    done = run_jl("run", "--", "sh", "-c", "exit 3", env=env)
    assert (done.returncode, done.stderr) == (3, b"")
    done = run_python("for _ in range(3):\n  with jl.job('a'): pass", env)
    assert done.returncode == 0
    assert done.stderr.count("there is no spool") == 1


def test_a_disk_that_is_full_leaves_whole_lines(spool: Path) -> None:
    """As many as had room: the file may not grow beyond them."""
    limit = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
    code = f"{limit}for _ in range(9):\n  with jl.job('a' * 100): pass\nprint('done')"
    done = run_python(code, environment(REFUSED, spool))
    assert done.stdout == "done\n"
    [path] = spool.glob("*.jsonl")
    content = path.read_bytes()
    assert content.endswith(b"\n")
    assert all(json.loads(line) for line in content.splitlines())
