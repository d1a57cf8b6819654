"""The accounts that own or record the most: where to look when something is full."""

from collections import Counter
from collections.abc import Mapping
from itertools import islice

from api.data.location import Database
from api.doctor.findings import Users
from ledger.store.seam import Cursor
from ledger.store.tables import accounts
from projections.views.accounts import largest_owners

NAMED_MAX = 5


def largest_users(database: Database, recorded: Mapping[str, int]) -> list[Users]:
    """Return those with the most drives, jobs, and bytes `recorded`."""
    with database.log() as log:
        cursor = log.cursor()
        found = {
            "drives": largest_owners(cursor, "drives", NAMED_MAX),
            "jobs": largest_owners(cursor, "jobs", NAMED_MAX),
            "bytes of events in a day": dict(Counter(recorded).most_common()),
        }
        return [Users(most, _by_email(cursor, owners)) for most, owners in found.items() if owners]


def _by_email(cursor: Cursor, numbers: Mapping[str, int]) -> dict[str, int]:
    """Return the first numbers by email, without owners that are no accounts, such as workers."""
    found = ((accounts.find_by_uuid(cursor, uuid), number) for uuid, number in numbers.items())
    named = ((account.email, number) for account, number in found if account is not None)
    return dict(islice(named, NAMED_MAX))
