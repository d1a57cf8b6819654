"""Keys for what is signed for a few minutes: cookies for websockets, links for uploads.

They are stored beside the ledger, so that all nodes accept what one of them signs. Each hour has a
key of its own, which is soon removed: an old copy of the tables can sign nothing.
"""

import secrets
from collections.abc import Callable
from datetime import datetime

from api.data.private_tables import PrivateTables
from ledger.store.seam import Cursor
from ledger.store.tables import signing_keys as table

HOUR_S = 3600
AHEAD = 2
"""Hours for which keys are made in advance."""
KEY_BYTES = 32


class HourlyKeys:
    """The keys of one ledger, to be renewed at the start and at least every hour."""

    def __init__(self, tables: PrivateTables, now: Callable[[], datetime]) -> None:
        self._tables = tables
        self._now = now
        self._keys: dict[int, bytes] = {}

    def __call__(self, hour: int) -> bytes | None:
        """Return the key of an hour since 1970; None for a past one, or one far ahead."""
        return self._keys.get(hour)

    async def renew(self) -> int:
        """Make the keys of the hours to come; remove old ones and return their number."""
        now = int(self._now().timestamp()) // HOUR_S

        def renew(cursor: Cursor) -> tuple[int, dict[int, bytes]]:
            for hour in range(now, now + AHEAD + 1):
                table.make(cursor, hour, secrets.token_bytes(KEY_BYTES))
            return table.remove_before(cursor, now - 1), table.every(cursor)

        removed, self._keys = await self._tables.write(renew)
        return removed
