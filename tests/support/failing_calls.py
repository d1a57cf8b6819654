"""In a process of its own: `DIRECTORY CALL NTH`; each system call of a command fails once.

Under `strace`, which makes the `NTH` call of each thread fail. For each call of the command there
is a fork, whose writer first makes so many harmless calls that this one is the next to fail. Each
leaves its ledger as it was then, as when the process ends, and prints what the command claims.
"""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from ledger.domain.outcomes import outcome_of
from ledger.store.seam import Cursor
from tests.support.opened import Opened
from tests.support.sqlite_commands import COMMANDS

BEGUN = "begun.sqlite"
HARMLESS: dict[str, Callable[[int], object]] = {
    "pwrite64": lambda fd: os.pwrite(fd, b"x", 0),
    "pread64": lambda fd: os.pread(fd, 1, 0),
    "fdatasync": os.fdatasync,
    "fcntl": os.get_inheritable,
}


def main(directory: Path, call: str, nth: int) -> None:
    scratch = os.open(directory / "scratch", os.O_CREAT | os.O_RDWR)
    for name in COMMANDS:
        for calls_before in range(nth - 1):
            if _claim_of_fork(directory, name, call, scratch, nth - 1 - calls_before):
                break


def _claim_of_fork(directory: Path, name: str, call: str, scratch: int, burnt: int) -> bool:
    """Fork; return whether nothing failed, because the command makes no more calls."""
    file = directory / f"{name}-{burnt}.sqlite"
    shutil.copy(directory / BEGUN, file)
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    claim, failed = "recorded", False
    try:
        opened = Opened(file)

        def burn(_: Cursor) -> None:
            for _ in range(burnt):
                HARMLESS[call](scratch)

        opened.ledger.exclusive(burn).result()
        COMMANDS[name].run(opened)
    except Exception as error:  # noqa: BLE001 - whatever it is, it claims something
        claim, failed = outcome_of(error), True
    os.write(1, f"{file.name} {claim}\n".encode())
    os._exit(int(failed))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
