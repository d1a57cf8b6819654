"""Brings the tree's tiles up to the newest event, beside the commands and giving way to them.

Each slice is whole by itself and finds out where the one before it ended, so this may be broken
off anywhere, and two that run at once only share the work.
"""

from collections.abc import Callable

from ledger.application import Ledger
from ledger.domain.errors import Expected
from ledger.store.seam import Cursor
from ledger.store.tables.tiles import extend

GATHERED_SLICES = 32
"""Slices of at most a tile, about a millisecond each, in one transaction when nobody waits."""


class TilingStopped(Expected):
    """It was asked to stop before the newest event; what is tiled is tiled."""


def tile(ledger: Ledger, *, stopping: Callable[[], bool] = lambda: False) -> None:
    """All events there are when this is called are tiled when it returns. Blocks.

    Raises `LeavesMissing`, `StoreFailed`, and `TilingStopped` soon after `stopping` says so.
    """

    def some(cursor: Cursor) -> bool:
        """Tiles what follows until there is nothing, or a command waits; says which."""
        for _ in range(GATHERED_SLICES):
            if not extend(cursor):
                return True
            if ledger.busy():
                break
        return False

    while not ledger.exclusive(some).result():
        if stopping():
            raise TilingStopped("the tiles do not go to the newest event yet")
