"""Which images there must be, by the drives that exist."""

from typing import NamedTuple

from ledger.store.seam import Cursor
from projections.views.generations import live_generation


class ExpectedImage(NamedTuple):
    """The image of a drive that is ready; `size` is the most that it may have, in bytes."""

    drive: str
    pool: str
    size: int


def expected_images(cursor: Cursor) -> list[ExpectedImage]:
    """Of all accounts' drives, by pool and drive."""
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
    """All accounts' drives, ready or not."""
    cursor.execute(f"SELECT uuid FROM drives_g{live_generation(cursor)}")
    return {uuid for (uuid,) in cursor.fetchall()}
