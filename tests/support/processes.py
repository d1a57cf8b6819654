"""Processes that run `job-ledger`, started in hundredths of a second.

A process is forked from one that has imported everything: `JOB_LEDGER_TEST_FORK=0` in the
environment starts each by itself instead, as coverage of them needs.
"""

import atexit
import ctypes
import inspect
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_SET_CHILD_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of prctl(2)
_PID_BYTES = 4
_PIPES = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")


def job_ledger(*words: str) -> list[str]:
    """Return the command line, for what runs it in a shell or under another program."""
    return [sys.executable, "-m", "api.cli", *words]


def environment(code: Path = ROOT) -> dict[str, str]:
    """Return ours without settings of the service; with other code than ours nothing is forked.

    No ledger keeps a reserve, unless the test asks for one: hundreds of them would fill the disk.
    """
    kept = {name: value for name, value in os.environ.items() if name[:11] != "JOB_LEDGER_"}
    forks = {} if code == ROOT else {"JOB_LEDGER_TEST_FORK": "0"}
    return {**kept, **forks, "PYTHONPATH": str(code), "JOB_LEDGER_RESERVE": "0"}


class _ForkServer:
    """The process that forks, and the interface to it; one for each test process."""

    def __init__(self) -> None:
        self._socket, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.fork_server", str(its.fileno())],
            stdin=subprocess.DEVNULL,
            pass_fds=[its.fileno()],
            cwd=ROOT,
            env=environment(),
        )
        its.close()
        self._turn = threading.Lock()
        self._prctl = ctypes.CDLL(None, use_errno=True).prctl
        atexit.register(self.close)

    def fork(self, request: dict[str, Any], files: list[int]) -> int:
        """Start a child of this process, and return its pid."""
        with self._turn:
            # What a process leaves behind when it ends is given to the nearest ancestor that wants
            # it. For so long only: other orphans are not for a test to wait for.
            self._prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
            try:
                socket.send_fds(self._socket, [json.dumps(request).encode()], files)
                pid = self._socket.recv(_PID_BYTES)
            finally:
                self._prctl(_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        assert len(pid) == _PID_BYTES, "the fork server has ended"
        return int.from_bytes(pid)

    def close(self) -> None:
        self._socket.close()
        self._process.wait()


_server: _ForkServer | None = None
_starting = threading.Lock()


def _fork_server() -> _ForkServer:
    global _server  # noqa: PLW0603 - made for the first test that starts a process
    with _starting:
        _server = _server or _ForkServer()
        return _server


class _Forked(subprocess.Popen[Any]):
    """A `Popen` whose child is forked; nothing else differs."""

    def _execute_child(self, *given: Any) -> None:
        told = inspect.signature(subprocess.Popen._execute_child).bind(self, *given).arguments  # type: ignore[attr-defined]
        request = {
            "parent": os.getpid(),
            "words": told["args"][len(job_ledger()) :],
            "cwd": None if told["cwd"] is None else str(told["cwd"]),
            "environment": told["env"],
        }
        ends = [told[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        files = [number if end == -1 else end for number, end in enumerate(ends)]
        self.pid = _fork_server().fork(request, files)
        self._child_created = True
        self._close_pipe_fds(*(told[name] for name in _PIPES))


def start(*words: str, **options: Any) -> "subprocess.Popen[Any]":
    """Start `job-ledger` with these words; the options are those of `subprocess.Popen`."""
    options.setdefault("env", environment())
    forks = options["env"].get("JOB_LEDGER_TEST_FORK", os.environ.get("JOB_LEDGER_TEST_FORK"))
    made = subprocess.Popen if forks == "0" else _Forked
    return made(job_ledger(*words), **options)


def run(
    *words: str, stdin: str | bytes = "", timeout: float, **options: Any
) -> "subprocess.CompletedProcess[Any]":
    """Run `job-ledger` to its end, without a terminal; it is killed if that takes too long."""
    options |= dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with start(*words, text=isinstance(stdin, str), **options) as process:
        try:
            out, error = process.communicate(stdin, timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, error)
