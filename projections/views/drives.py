"""Reads of drives, with the jobs, servers and tags that name them, and of the images they need."""

from collections.abc import Sequence
from itertools import starmap
from typing import NamedTuple

import msgspec

from ledger.domain.aggregates.drive import LIBRARY
from ledger.domain.events.drives import DriveDefinition
from ledger.store.parameters import marks
from ledger.store.seam import Cursor
from projections.tables import DriveRow, select
from projections.views.generations import live_generation
from projections.views.read_models import DriveView
from projections.views.reader import Reader, in_order

_definition = msgspec.json.Decoder(DriveDefinition).decode


class ExpectedImage(NamedTuple):
    """The image of a drive that is ready; `size` is its largest possible size in bytes."""

    drive: str
    pool: str
    size: int


class Drives(Reader):
    def drive(self, uuid: str, owner: str) -> DriveView | None:
        """Return the drive if it belongs to this account or the library."""
        found = self._drives("uuid = ? AND owner IN (?, ?)", (uuid, owner, LIBRARY))
        return found[0] if found else None

    def drives_among(self, uuids: Sequence[str], owner: str) -> list[DriveView]:
        """Return those of these drives that the account may see, in the given order."""
        found = self._drives(
            f"uuid IN ({marks(uuids)}) AND owner || '' IN (?, ?)", (*uuids, owner, LIBRARY)
        )
        return in_order(found, uuids)

    def library(self) -> list[DriveView]:
        """Return the drives of the library, oldest first."""
        return self._drives("owner = ? ORDER BY created, uuid", (LIBRARY,))

    def pools(self, owner: str) -> list[tuple[str, str]]:
        """Return the account's drives, each with its pool, oldest first."""
        return self._all(
            f"SELECT uuid, pool FROM drives_g{self._g} WHERE owner = ? ORDER BY created, uuid",
            (owner,),
        )

    def unfinished_drives(self) -> list[str]:
        """Return all drives that grow, or wait for an image that is no clone; oldest first."""
        rows = self._all(
            f"SELECT uuid FROM drives_g{self._g} WHERE (ready = 0 OR resizing IS NOT NULL)"
            " AND (origin <> 'clone' OR ready = 1) ORDER BY created, uuid"
        )
        return [uuid for (uuid,) in rows]

    def _drives(self, where: str, parameters: Sequence[str]) -> list[DriveView]:
        rows = self._all(f"{select('drives', self._g)} WHERE {where}", parameters)
        found = {row.uuid: _view(row) for row in starmap(DriveRow, rows)}
        owned = [drive.uuid for drive in found.values() if drive.owner != LIBRARY]
        for drive, server in self._among(
            f"SELECT resource, server FROM attachments_g{self._g} WHERE resource IN (...)"
            " GROUP BY resource, server ORDER BY min(server_created), server",
            owned,
        ):
            found[drive].mounted_on.append(server)
        for resource, reference in self._references(owned):
            found[resource].jobs.append(reference)
        for resource, tag in self._tags_of(owned):
            found[resource].tags.append(tag)
        return list(found.values())


def _view(row: DriveRow) -> DriveView:
    return DriveView(
        row.uuid,
        row.owner,
        row.pool,
        row.origin,
        bool(row.ready),
        bool(row.failed),
        row.resizing is not None,
        _definition(row.definition),
        [],
        [],
        [],
    )


def drives_by_pool(cursor: Cursor) -> dict[str, int]:
    """Return how many drives of all accounts are in each pool."""
    generation = live_generation(cursor)
    cursor.execute(f"SELECT pool, count(*) FROM drives_g{generation} GROUP BY pool")
    return dict(cursor.fetchall())


def expected_images(cursor: Cursor) -> list[ExpectedImage]:
    """Return the images that the drives of all accounts need, by pool and drive."""
    g = live_generation(cursor)
    cursor.execute(
        f"SELECT uuid, pool, size, coalesce(resizing, 0) FROM drives_g{g}"
        " WHERE ready = 1 ORDER BY pool, uuid"
    )
    return [
        ExpectedImage(uuid, pool, max(size, resizing))
        for uuid, pool, size, resizing in cursor.fetchall()
    ]


def existing_drives(cursor: Cursor) -> set[str]:
    """Return the drives of all accounts, ready or not."""
    cursor.execute(f"SELECT uuid FROM drives_g{live_generation(cursor)}")
    return {uuid for (uuid,) in cursor.fetchall()}
