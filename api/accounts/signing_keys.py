"""Keys for what is signed for a few minutes: cookies for websockets, links for uploads.

They are stored beside the ledger, so that all nodes accept what one of them signs. Each hour in
which something is signed has a key of its own, which is soon removed: an old copy of the tables can
sign nothing.
"""

import secrets
from collections.abc import Callable
from datetime import datetime

from api.data.private_tables import PrivateTables
from ledger.store.seam import Cursor
from ledger.store.tables import signing_keys as table

HOUR_S = 3600
KEY_BYTES = 32


class HourlyKeys:
    """The keys of one ledger: made when they are needed, and found when others have made them."""

    def __init__(self, tables: PrivateTables, now: Callable[[], datetime]) -> None:
        self._tables = tables
        self._now = now
        self._keys: dict[int, bytes] = {}

    def __call__(self, hour: int) -> bytes | None:
        """Return the key of an hour since 1970, if it is known."""
        return self._keys.get(hour)

    async def provide(self) -> None:
        """Know the key of this hour, to sign by it; make it if nobody has. Raise `StoreFailed`."""
        hour = self._hour()
        if hour in self._keys:
            return

        def make(cursor: Cursor) -> dict[int, bytes]:
            table.make(cursor, hour, secrets.token_bytes(KEY_BYTES))
            return table.every(cursor)

        self._keys = await self._tables.write(make)

    async def learn(self) -> None:
        """Know all keys that there are, to read what any node has signed. Raise `StoreFailed`."""
        if self._hour() not in self._keys:
            self._keys = await self._tables.read(table.every)

    async def expire(self) -> int:
        """Remove the keys of hours in which all that was signed is too old; return their number.

        And those of hours to come, which a clock that was ahead has left: a copy could sign then.
        """
        first, last = self._hour() - 1, self._hour() + 1
        removed = await self._tables.write(lambda c: table.remove_outside(c, first, last))
        self._keys = {hour: key for hour, key in self._keys.items() if first <= hour <= last}
        return removed

    def _hour(self) -> int:
        return int(self._now().timestamp()) // HOUR_S
