"""What an upgrade does to the contents of an earlier schema, once missing tables were created."""

from datetime import datetime

from ledger.store.seam import Cursor
from ledger.store.tables import spent_ids, tokens
from ledger.store.tables.stamps import date_stored

_ONE_CLOCK = 6
"""The first schema with the newest stamp, and with faults among stamps."""
_SPENT_IDS = 7
"""The first schema with the ids of discarded jobs."""
_GRANTS = 8
"""The first schema with what each token may do."""


def upgrade(cursor: Cursor, found: int, now: datetime) -> None:
    """Raise the contents of a schema to this one, in the transaction that creates the tables.

    `now` is what the store's clock shows.
    """
    if found < _ONE_CLOCK:
        date_stored(cursor, now)
    if found < _SPENT_IDS:
        spent_ids.add_stored(cursor)
    if found < _GRANTS:
        tokens.grant_all(cursor)
