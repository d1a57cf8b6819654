"""Which position the ledger had reached at a time, whatever its clock did."""

from datetime import datetime

import msgspec

from ledger.store.seam import Cursor

READ_ROWS = 2_000


class _Stamped(msgspec.Struct, gc=False):
    """As much of an event as its time."""

    recorded_at: datetime


_stamp = msgspec.json.Decoder(_Stamped).decode


def position_at(cursor: Cursor, moment: datetime) -> int:
    """Where the longest prefix of the ledger ends in which no event is stamped later; 0: nowhere.

    What was recorded after a clock went back counts only if all before it does.
    """
    cursor.execute("SELECT position, state FROM stored_events ORDER BY position")
    reached = 0
    while rows := cursor.fetchmany(READ_ROWS):
        for position, state in rows:
            if _stamp(state).recorded_at > moment:
                return reached
            reached = position
    return reached
