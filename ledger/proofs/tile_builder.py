"""Brings the tree's tiles up to the newest event, between commands, and gives way to them.

Each slice is complete by itself and finds where the one before it ended, so the work can stop
anywhere, and two that run at once only share it.
"""

from collections.abc import Callable

from ledger.application import Ledger
from ledger.domain.errors import Expected
from ledger.store.seam import Cursor
from ledger.store.tables.tiles import extend

SLICES_PER_TRANSACTION = 32
"""Slices of at most a tile, about a millisecond each; fewer if a command waits."""


class TilingStopped(Expected):
    """Tiling was stopped before the newest event; finished tiles stay."""


def tile(ledger: Ledger, *, stopping: Callable[[], bool] = lambda: False) -> None:
    """Tile all events that there are when this is called. Block until then.

    Raise `LeavesMissing`, `StoreFailed`, and `TilingStopped` soon after `stopping` returns true.
    """

    def tile_some(cursor: Cursor) -> bool:
        """Tile until nothing is left, or a command waits; return whether nothing is left."""
        for _ in range(SLICES_PER_TRANSACTION):
            if not extend(cursor):
                return True
            if ledger.busy():
                break
        return False

    while not ledger.exclusive(tile_some).result():
        if stopping():
            raise TilingStopped("the tiles do not go to the newest event yet")
