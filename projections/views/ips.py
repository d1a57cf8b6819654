"""Reads of the addresses that running servers use."""

from collections.abc import Sequence
from itertools import starmap

from ledger.store.parameters import marks
from projections.tables import IpRow, select
from projections.views.filters import Conditions
from projections.views.read_models import IpView
from projections.views.reader import Reader


class Ips(Reader):
    def ips_among(self, ips: Sequence[str], owner: str) -> list[IpView]:
        """Return those of these addresses that the account uses, in the given order."""
        # The `||` makes addresses be looked up: they are fewer than what the account uses.
        found = self._ips(f"uuid IN ({marks(ips)}) AND owner || '' = ?", (*ips, owner))
        return sorted(found, key=lambda ip: ips.index(ip.uuid))

    def count_ips(self, owner: str, conditions: Conditions = ()) -> int:
        where, parameters = self._where(owner, conditions)
        return self._count(f"ips_g{self._g} WHERE {where}", parameters)

    def _ips(self, where: str, parameters: Sequence[str]) -> list[IpView]:
        rows = self._all(f"{select('ips', self._g)} WHERE {where}", parameters)
        return [
            IpView(row.uuid, row.owner, row.server, row.network) for row in starmap(IpRow, rows)
        ]
