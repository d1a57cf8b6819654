"""Revocations of logins that other nodes record: what this node has cached ends with them."""

from collections.abc import Callable
from typing import NamedTuple

from api.data.private_tables import PrivateTables
from ledger.store.tables import login_revocations as table

KNOWN_S = 1.0
"""However a login is revoked, no node honours it from its cache for longer than this."""


class Revocation(NamedTuple):
    """All logins of an account were revoked; later revocations have higher numbers."""

    number: int
    account: str


class Revocations:
    """Finds the revocations of other nodes, where several share the accounts. For one event loop.

    To be polled by `poll` several times in `KNOWN_S`.
    """

    def __init__(
        self,
        tables: PrivateTables,
        *,
        shared: bool,
        on_revocation: Callable[[Revocation], None],
        clock: Callable[[], float],
    ) -> None:
        self.shared = shared
        self._tables = tables
        self._on_revocation = on_revocation
        self._clock = clock
        self._polled_at = float("-inf")
        self._last = 0
        self._own: set[int] = set()

    def are_known(self) -> bool:
        """Return whether all are known but those of the last `KNOWN_S`."""
        return not self.shared or self._clock() - self._polled_at < KNOWN_S

    def note_own(self, revocation: Revocation) -> None:
        """Do not report a revocation of this node again, unless it was reported already."""
        if self.shared and revocation.number > self._last:
            self._own.add(revocation.number)

    async def skip_earlier(self) -> None:
        """Report none that is recorded already: nothing is cached from before."""
        revocations = await self._tables.read(lambda c: table.since(c, 0))
        self._last = revocations[-1][0] if revocations else 0

    async def poll(self) -> None:
        """Report the new ones."""
        began = self._clock()
        new = await self._tables.read(lambda c: table.since(c, self._last))
        for revocation in map(Revocation._make, new):
            self._last = revocation.number
            if revocation.number in self._own:
                self._own.discard(revocation.number)
            else:
                self._on_revocation(revocation)
        self._polled_at = began
