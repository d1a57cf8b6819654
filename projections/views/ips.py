"""Reads of the addresses that running servers use."""

from collections.abc import Sequence
from itertools import starmap

from projections.tables import IpRow
from projections.views.read_models import IpView
from projections.views.reader import Reader, in_order


class Ips(Reader):
    def ips_among(self, ips: Sequence[str], owner: str) -> list[IpView]:
        """Return those of these addresses that the account uses, in the given order."""
        rows = starmap(IpRow, self._owned("ips", ips, owner))
        return in_order([IpView(row.uuid, row.owner, row.server, row.network) for row in rows], ips)
