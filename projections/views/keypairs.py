"""Reads of keypairs."""

from collections.abc import Sequence
from itertools import starmap

import msgspec

from projections.tables import KeypairRow
from projections.views.read_models import KeypairView
from projections.views.reader import Reader, in_order

_meta = msgspec.json.Decoder(dict[str, str]).decode


class Keypairs(Reader):
    def keypairs_among(self, uuids: Sequence[str], owner: str) -> list[KeypairView]:
        """Return those of these keypairs that belong to this account, in the given order."""
        found = [
            KeypairView(row.uuid, row.owner, row.name, row.public_key, _meta(row.meta))
            for row in starmap(KeypairRow, self._owned("keypairs", uuids, owner))
        ]
        return in_order(found, uuids)
