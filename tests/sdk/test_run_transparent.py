"""`run` is transparent: a command does not notice it, and neither does who waits for its exit code.

There is no ledger here; `test_run_away.py` says what one that is away changes, which is nothing.
"""

import os
import pty
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.sdk.conftest import FILE, REFUSED, environment, jl_words, run_jl
from tests.support.processes import ROOT
from tests.support.wait import PATIENCE_S, wait_for

pytestmark = pytest.mark.process


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 3"], 3),
        (["sh", "-c", "exit 255"], 255),
        (["sh", "-c", "kill -SEGV $$"], 128 + signal.SIGSEGV),
        (["/no/such/command"], 127),
        (["no-such-command"], 127),
        ([str(ROOT / "LICENSE")], 126),
        (["/etc"], 126),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else str(given),
)
def test_the_exit_code_is_the_commands(command: list[str], code: int) -> None:
    assert run_jl("run", "--", *command).returncode == code


def test_a_wrong_option_is_the_wrappers_own_failure() -> None:
    assert run_jl("run", "--no-such-option", "--", "true").returncode == 125
    assert run_jl("run").returncode == 125


def test_a_deadline_that_passes_is_124_and_nothing_of_the_command_is_left(tmp_path: Path) -> None:
    """Neither the command nor what it has started, though both ignore the first signal."""
    script = "trap '' TERM; echo $$ > pid; sleep 600 & echo $! >> pid; wait; wait"
    words = ["run", "--deadline", "0.3", "--grace", "0.2", "--", "sh", "-c", script]
    assert run_jl(*words, cwd=tmp_path).returncode == 124
    for pid in (tmp_path / "pid").read_text().split():
        wait_for("it has ended", lambda pid=pid: not is_alive(int(pid)))


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_what_goes_in_and_out_is_not_changed(tmp_path: Path) -> None:
    """Bytes that are no text, without a newline at the end, through each kind of reading."""
    given = bytes(range(256)) * 4096
    for options in ([], ["--log", "tail"], ["--progress", "rsync"], ["--log", "none"]):
        script = "cat; printf 'e\\001\\377' >&2"
        env = environment(REFUSED, tmp_path / "spool")
        done = run_jl("run", *options, "--", "sh", "-c", script, input=given, env=env)
        assert done.stdout == given
        assert done.stderr == b"e\x01\xff"


def test_a_command_that_ends_does_not_wait_for_who_holds_its_output(tmp_path: Path) -> None:
    """Something in the background has stderr still, and lives on."""
    script = "sleep 600 & echo $! > pid; echo last >&2"
    env = environment(REFUSED, tmp_path / "spool")
    done = run_jl("run", "--log", "tail", "--", "sh", "-c", script, cwd=tmp_path, env=env)
    pid = int((tmp_path / "pid").read_text())
    assert is_alive(pid)
    os.kill(pid, signal.SIGKILL)
    assert (done.returncode, done.stderr) == (0, b"last\n")


def test_a_reader_that_goes_away_ends_the_command_as_without_us(tmp_path: Path) -> None:
    words = jl_words("run", "--log", "tail", "--", "yes")
    env = environment(REFUSED, tmp_path / "spool")
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=env) as process:
        assert process.stdout
        assert process.stdout.readline() == b"y\n"
        process.stdout.close()
        assert process.wait(PATIENCE_S) == 128 + signal.SIGPIPE


def test_the_file_itself_is_the_command() -> None:
    words = [sys.executable, FILE, "run", "--", "sh", "-c", "exit 3"]
    assert subprocess.run(words, env=environment(), check=False).returncode == 3


def test_a_script_that_does_not_say_by_what_is_run_by_the_shell(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("exit 7\n")
    script.chmod(0o755)
    assert run_jl("run", "--", str(script)).returncode == 7


def test_signals_are_passed_on() -> None:
    """To the command, which sees each once; those that end a process, to its children as well."""
    names = ["USR1", "USR2", "HUP", "INT", "QUIT", "TERM"]
    code = (
        "import signal, sys\n"
        f"names = {names!r}\n"
        "wanted = {getattr(signal, 'SIG' + name) for name in names}\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, wanted)\n"
        "print('ready', flush=True)\n"
        "for _ in names: print(signal.Signals(signal.sigwait(wanted)).name[3:], flush=True)\n"
        "sys.exit(5)\n"
    )
    words = jl_words("run", "--", "python3", "-S", "-c", code)
    with subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        for name in names:
            process.send_signal(getattr(signal, f"SIG{name}"))
            assert process.stdout.readline() == f"{name}\n"
        assert process.wait(PATIENCE_S) == 5


def test_the_signals_of_a_command_are_as_they_were() -> None:
    """What we block or ignore is neither in it, and what was ignored still is."""
    show = ["grep", "-E", "Sig(Blk|Ign|Cgt)", "/proc/self/status"]
    ignore: dict[str, Any] = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)}
    bare = subprocess.run(show, capture_output=True, check=True, **ignore).stdout
    assert signal_sets(run_jl("run", "--", *show, **ignore).stdout) == signal_sets(bare)


def signal_sets(status: bytes) -> list[int]:
    """Return them without 32 and 33, which are the C library's own."""
    return [int(line.split()[1], 16) & ~(3 << 31) for line in status.splitlines()]


def test_it_ends_in_a_group_of_its_own_without_a_terminal() -> None:
    """So that what it has started can be ended with it."""
    done = run_jl("run", "--", "sh", "-c", "ps -o pgid= -p $$; echo $$", start_new_session=True)
    group, pid = done.stdout.split()
    assert group == pid


def test_with_a_terminal_it_stays_in_the_foreground() -> None:
    """It reads from the terminal, and Ctrl-C comes to it once."""
    script = (
        "trap 'echo interrupted' INT; trap 'exit 9' USR1;"
        "test -t 0 && test -t 1 && test -t 2 && echo terminal;"
        "read name; echo hello $name; while :; do sleep 0.05; done"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        words = jl_words("run", "--", "sh", "-c", script)
        os.execve(words[0], words, environment())  # noqa: S606
    read_until(terminal, b"terminal\r\n")
    os.write(terminal, b"world\n")
    read_until(terminal, b"hello world\r\n")
    os.write(terminal, b"\x03")
    said = read_until(terminal, b"interrupted\r\n")
    os.kill(pid, signal.SIGUSR1)  # which is passed on after whatever came before
    said += read_until(terminal, None)
    assert said.count(b"interrupted") == 1
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    os.close(terminal)


def test_with_a_terminal_what_the_command_has_started_is_killed_too(tmp_path: Path) -> None:
    """But not the shell that waits for both, though all are in one group."""
    started = tmp_path / "started"
    held = (
        "trap '' TERM HUP;"
        f"sh -c 'echo $$ > {started}; while :; do sleep 0.05; done' & while :; do wait; done"
    )
    run = shlex.join(jl_words("run", "--deadline", "3s", "--grace", "0.1s", "--", "sh", "-c", held))
    pid, terminal = pty.fork()
    if pid == 0:
        words = ["sh", "-c", f"{run}; echo ended with $?; read end"]
        os.execve("/bin/sh", words, environment())  # noqa: S606
    read_until(terminal, b"ended with 124\r\n")
    inner = int(started.read_text())
    wait_for("it to end", lambda: not Path(f"/proc/{inner}/exe").exists())
    os.write(terminal, b"\n")
    read_until(terminal, None)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(terminal)


def read_until(terminal: int, wanted: bytes | None) -> bytes:
    """Read until this comes, or the end."""
    said = b""
    while wanted is None or wanted not in said:
        try:
            piece = os.read(terminal, 1024)
        except OSError:
            piece = b""
        if not piece:
            assert wanted is None, said
            return said
        said += piece
    return said
