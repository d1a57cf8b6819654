"""In a process of its own: `FILE`; discards and archives all that is over, to be killed at it."""

import sys
from datetime import datetime, timedelta
from pathlib import Path

from tests.support.retained import Retained
from tests.support.world import START

LATER = START + timedelta(days=30)


def main(file: Path) -> None:
    ticks = iter(range(10**9))

    def now() -> datetime:
        return LATER + timedelta(milliseconds=next(ticks))

    with Retained(file, now, acts="late") as retained:
        retained.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
