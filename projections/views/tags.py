"""Reads of tags, with the resources that bear them."""

from collections.abc import Sequence
from itertools import starmap

import msgspec

from projections.tables import TagRow
from projections.views.read_models import TaggedView, TagView
from projections.views.reader import Reader, in_order

_meta = msgspec.json.Decoder(dict[str, str]).decode


class Tags(Reader):
    def tags_among(self, uuids: Sequence[str], owner: str) -> list[TagView]:
        """Return those of these tags that belong to this account, in the given order."""
        rows = self._owned("tags", uuids, owner)
        found = {
            row.uuid: TagView(row.uuid, row.owner, row.name, _meta(row.meta), [])
            for row in starmap(TagRow, rows)
        }
        for tag, resource, kind in self._among(
            f"SELECT tag, resource, kind FROM tag_resources_g{self._g} WHERE tag IN (...)"
            " ORDER BY resource",
            list(found),
        ):
            found[tag].resources.append(TaggedView(resource, kind))
        return in_order(found.values(), uuids)
