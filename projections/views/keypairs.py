"""Reads of keypairs."""

from collections.abc import Sequence
from itertools import starmap

import msgspec

from ledger.store.parameters import marks
from projections.tables import KeypairRow, select
from projections.views.filters import Conditions
from projections.views.read_models import KeypairView
from projections.views.reader import Reader

_meta = msgspec.json.Decoder(dict[str, str]).decode


class Keypairs(Reader):
    def keypairs_among(self, uuids: Sequence[str], owner: str) -> list[KeypairView]:
        """Return those of these keypairs that belong to this account, in the given order."""
        found = self._keypairs(f"uuid IN ({marks(uuids)}) AND owner || '' = ?", (*uuids, owner))
        return sorted(found, key=lambda keypair: uuids.index(keypair.uuid))

    def count_keypairs(self, owner: str, conditions: Conditions = ()) -> int:
        where, parameters = self._where(owner, conditions)
        return self._count(f"keypairs_g{self._g} WHERE {where}", parameters)

    def _keypairs(self, where: str, parameters: Sequence[str]) -> list[KeypairView]:
        rows = self._all(f"{select('keypairs', self._g)} WHERE {where}", parameters)
        return [
            KeypairView(row.uuid, row.owner, row.name, row.public_key, _meta(row.meta))
            for row in starmap(KeypairRow, rows)
        ]
