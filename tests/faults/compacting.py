"""In a process of its own: `DATA STORE GONE`; compacts until so many events are gone, and dies."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from api.composition import open_ledger
from projections.maintenance.retention.compaction import ARCHIVES
from tests.faults.slices import compact_until


def die() -> bool:
    os.kill(os.getpid(), signal.SIGKILL)
    return True


async def main(data: Path, store: str, gone: int) -> None:
    async with open_ledger(data, url=store or None) as opened:
        compact_until(opened.ledger, data / ARCHIVES, gone, die)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
