"""The process that `tests.support.processes` forks the commands of `job-ledger` from.

It has imported all that they need, which is most of what starting one of them costs. A fork begins
as `python -m api.cli` does, with the words, folder, environment and files that it is given; it
is reparented to the test's process, whose child it would be if that had started it. Only the
passwords that it hashes are hashed cheaply.
"""

import ctypes
import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import sys
import threading
import time
from typing import Any, NamedTuple

import api
import api.background.retention
import ledger
import projections
from api.cli import main
from tests.harness.hashing import make_hashes_cheap

STANDARD_FILES = 3
REQUEST_BYTES = 2**20
SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)
NEVER_S = 1e6


class Request(NamedTuple):
    """What to run, as for `subprocess.Popen`; `files` are standard input, output and error."""

    words: list[str]
    cwd: str | None
    environment: dict[str, str] | None
    files: list[int]


def import_commands() -> None:
    """Import all of it: commands import what they need when they run.

    A service discards nothing by itself: on a slow machine that would come in the middle of a test.
    """
    api.background.retention.START_S = NEVER_S
    for package in (api, ledger, projections):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    assert threading.active_count() == 1, "a thread does not survive a fork"
    gc.collect()
    gc.freeze()


def serve(asked: socket.socket) -> Request | None:
    """Fork for each request; return it in the fork, and None once the requests end."""
    while True:
        data, files, _, _ = socket.recv_fds(asked, REQUEST_BYTES, STANDARD_FILES)
        if not data:
            return None
        told: dict[str, Any] = json.loads(data)
        request = Request(told["words"], told["cwd"], told["environment"], files)
        read, write = os.pipe()
        between = os.fork()
        if between == 0:
            first_parent = os.getpid()
            pid = os.fork()
            if pid == 0:
                die_with_parent(first_parent, told["parent"])
                return request
            os.write(write, pid.to_bytes(4))
            os._exit(0)
        pid_bytes = os.read(read, 4)
        os.waitpid(between, 0)  # the fork has its new parent now
        for each in (read, write, *files):
            os.close(each)
        asked.send(pid_bytes)


def die_with_parent(first: int, last: int) -> None:
    """Be killed with the test's process, however that ends, once it is the parent."""
    while os.getppid() == first:
        time.sleep(0.0005)
    ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != last:
        os.kill(os.getpid(), signal.SIGKILL)


def become(request: Request) -> None:
    """Make this process what the request asks for, without running anything yet."""
    for number, given in enumerate(request.files):
        os.dup2(given, number)
    os.closerange(STANDARD_FILES, os.sysconf("SC_OPEN_MAX"))
    if request.cwd is not None:
        os.chdir(request.cwd)
    if request.environment is not None:
        os.environ.clear()
        os.environ.update(request.environment)
    time.tzset()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["job-ledger", *request.words]
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", buffering=1 if os.isatty(1) else -1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)


def run() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests, which end it
    import_commands()
    make_hashes_cheap()
    with socket.socket(fileno=int(sys.argv[1])) as asked:
        request = serve(asked)
        if request is not None:
            asked.detach()
    if request is not None:
        become(request)
        main()


if __name__ == "__main__":
    run()
