"""Reads of tags, with the resources that bear them."""

from collections.abc import Sequence
from itertools import starmap

import msgspec

from ledger.store.parameters import marks
from projections.tables import TagRow, select
from projections.views.filters import Conditions
from projections.views.read_models import TaggedView, TagView
from projections.views.reader import Reader, sql_limit

_meta = msgspec.json.Decoder(dict[str, str]).decode


class Tags(Reader):
    def tags_among(self, uuids: Sequence[str], owner: str) -> list[TagView]:
        """Return those of these tags that belong to this account, in the given order."""
        found = self._tags(f"uuid IN ({marks(uuids)}) AND owner || '' = ?", (*uuids, owner))
        places = {uuid: place for place, uuid in enumerate(uuids)}
        return sorted(found, key=lambda tag: places[tag.uuid])

    def tags(
        self, owner: str, conditions: Conditions = (), *, limit: int, offset: int = 0
    ) -> list[TagView]:
        """Return a page of the account's tags, oldest first; a negative limit is no limit."""
        where, parameters = self._where(owner, conditions)
        return self._tags(
            f"{where} ORDER BY created, uuid LIMIT ? OFFSET ?",
            (*parameters, sql_limit(limit), offset),
        )

    def count_tags(self, owner: str, conditions: Conditions = ()) -> int:
        where, parameters = self._where(owner, conditions)
        return self._count(f"tags_g{self._g} WHERE {where}", parameters)

    def _tags(self, where: str, parameters: Sequence[str | int]) -> list[TagView]:
        rows = self._all(f"{select('tags', self._g)} WHERE {where}", parameters)
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
        return list(found.values())
