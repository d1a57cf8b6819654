"""Backups and restores that are killed at one step after the other, in processes of their own.

    python -m tests.backup.killing backup DATA DIRECTORY STRIDE
    python -m tests.backup.killing restore BACKUP DIRECTORY STRIDE

Each step is a call that changes something on disk, of which every STRIDE-th is looked at; within
SQLite, they are killed at moments in time. Prints how many steps there were, and fails if a kill
left something half done.
"""

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from api.service.ids import new_id
from ledger.archives import Shelf
from ledger.codec import decode
from ledger.domain.events.housekeeping import LedgerRestored
from ledger.images.pools import Pool
from ledger.proofs.keys import KEY_FILE, signer_of
from projections.maintenance.backup.creation import take
from projections.maintenance.backup.inspection import check
from projections.maintenance.backup.restoration import is_unfinished
from tests.backup.backups import events, restored
from tests.support.world import START

MOMENTS = 20
STEPS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate", "os.utime")
POOL = "roomy"


def done(work: Callable[[], object], until: Callable[[], None]) -> bool:
    """Does the work in a child of this process; False if that was killed."""
    child = os.fork()
    if not child:
        try:
            until()
            work()
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 - the child must end here
            sys.stderr.write(f"{error!r}\n")
            os._exit(1)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in {0, -signal.SIGKILL, -signal.SIGALRM}, code
    return code == 0


def at_step(nth: int) -> Callable[[], None]:
    """Kills the process before the nth call that changes something on disk."""

    def arm() -> None:
        left = [nth]
        fsync = os.fsync

        def step() -> None:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & 3
            if event in STEPS or writes:
                step()

        def synced(fd: int) -> None:
            step()
            fsync(fd)

        sys.addaudithook(hook)
        os.fsync = synced

    return arm


def after(seconds: float) -> Callable[[], None]:
    """Kills the process so much later, wherever it is: nobody in it handles that signal."""

    def arm() -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)

    return arm


def never() -> None:
    """Lets the process live."""


def killed_everywhere(
    work: Callable[[Path], object], left: Callable[[Path], None], into: Path, stride: int
) -> int:
    """Does the work again and again, killed a few steps later each time; looks at what is left."""
    step = 1
    while not done(partial(work, into / f"step-{step}"), at_step(step)):
        left(into / f"step-{step}")
        step += stride
    began = time.monotonic()
    assert done(partial(work, into / "whole"), never)
    took = time.monotonic() - began
    moments = MOMENTS // stride
    for moment in range(1, moments):
        where = into / f"moment-{moment}"
        done(partial(work, where), after(took * moment / moments))
        left(where)
    return step - 1


def pools_in(where: Path) -> dict[str, Pool]:
    return {POOL: Pool(POOL, where / "pools" / POOL)}


def restores(backup: Path, into: Path, stride: int) -> int:
    expected = check(backup)
    archives = Shelf(backup / "archive").names()
    images = sorted(path.name for path in (backup / "images" / POOL).iterdir())

    def work(data: Path) -> None:
        restored(backup, data, pools_in(data))

    def complete(data: Path) -> None:
        found = events(data / "ledger.sqlite")
        *_, last = found
        assert isinstance(decode(last.topic, last.state).event, LedgerRestored)
        assert last.leaf_index == expected.checkpoint.size
        assert (data / KEY_FILE).read_bytes() == (backup / KEY_FILE).read_bytes()
        assert Shelf(data / "archive").names() == archives
        pool = data / "pools" / POOL
        assert sorted(path.name for path in pool.iterdir() if path.is_file()) == images
        assert not (pool / "lost+found").exists()

    def left(data: Path) -> None:
        """Nothing that could be taken for a ledger, or all of it; then the next one finishes."""
        if not (data / "ledger.sqlite").exists():
            changed = [path for path in data.rglob("*") if path.is_file()] if data.exists() else []
            assert is_unfinished(data) or not changed, changed
            assert done(lambda: work(data), never)
        complete(data)
        shutil.rmtree(data)

    return killed_everywhere(work, left, into, stride)


def backups(data: Path, into: Path, stride: int) -> int:
    signer = signer_of(data, new_id=new_id)

    def work(where: Path) -> None:
        where.mkdir(exist_ok=True)
        take(
            data / "ledger.sqlite",
            data / "archive",
            lambda: signer,
            where / "backup",
            pools=pools_in(data),
            now=lambda: START,
        )

    def left(where: Path) -> None:
        """A whole backup, or what nobody takes for one; then there is room for the next."""
        backup = where / "backup"
        if backup.exists():
            check(backup)
        elif where.exists():
            for path in where.iterdir():
                assert path.name.startswith(".backup.")
                assert path.name.endswith(".part")
            assert done(lambda: work(where), never)
            check(backup)

    return killed_everywhere(work, left, into, stride)


if __name__ == "__main__":
    what, source, directory, stride = sys.argv[1:]
    kinds = {"backup": backups, "restore": restores}
    sys.stdout.write(f"{kinds[what](Path(source), Path(directory), int(stride))}\n")
