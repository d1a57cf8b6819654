"""A process that creates drives one after the other, and prints which ones were acknowledged.

    python -m tests.support.acknowledging FILE COUNT [LIMIT_BYTES]

With a limit, no file may grow beyond so many bytes above the size that it has at first. What it
says, a line each: `acknowledged d0`, `refused d1`, and `told` when the ledger reports its failure.
"""

import resource
import sys
from datetime import UTC, datetime
from pathlib import Path

from ledger.application import Ledger
from ledger.domain.commands.drives import CreateDrives, NewDrive
from ledger.domain.errors.store import StoreFailed
from ledger.store.sqlite.store import SqliteStore
from projections.views.generations import InlineProjection
from tests.support.opened import CALLER
from tests.support.world import ME, Foreseen, disk


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(file: Path, count: int, limit_bytes: int | None = None) -> None:
    projection = InlineProjection()
    ledger = Ledger(
        SqliteStore(file, projection),
        projection,
        Foreseen(),
        now=lambda: datetime.now(UTC),
        on_failure=lambda _: say("told"),
    )
    if limit_bytes is not None:
        size = file.with_name(f"{file.name}-wal").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + limit_bytes,) * 2)
    for nth in range(count):
        try:
            new = CreateDrives(ME, (NewDrive(f"d{nth}", disk()),), "blank")
            ledger.execute_blocking(new, CALLER)
        except StoreFailed:
            say(f"refused d{nth}")
        else:
            say(f"acknowledged d{nth}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
