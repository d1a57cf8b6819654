"""Reads of an account's profile and audit log."""

from collections.abc import Iterator
from typing import Literal

import msgspec

from ledger.store.log import streamed
from ledger.store.seam import Cursor
from projections.audit_log import Line
from projections.views.generations import live_generation
from projections.views.read_models import LogEntry, ProfileView
from projections.views.reader import Reader

_lines = msgspec.json.Decoder(tuple[Line, ...]).decode


def largest_owners(cursor: Cursor, things: Literal["drives", "jobs"], most: int) -> dict[str, int]:
    """Return the accounts that have the most of these things, and how many, without the library."""
    cursor.execute(
        f"SELECT owner, count(*) AS number FROM {things}_g{live_generation(cursor)}"
        " WHERE owner IN (SELECT uuid FROM accounts)"
        " GROUP BY owner ORDER BY number DESC, owner LIMIT ?",
        (most,),
    )
    return dict(cursor.fetchall())


class Accounts(Reader):
    def profile(self, account: str) -> ProfileView | None:
        """Return the profile of an account; every account has one from its beginning."""
        found = self._all(
            "SELECT email, created, coalesce((SELECT clone_naming"
            f" FROM profiles_g{self._g} WHERE owner = uuid), 'NONE') FROM accounts WHERE uuid = ?",
            (account,),
        )
        fields = self._all("SELECT field, value FROM personal_fields WHERE account = ?", (account,))
        if not found:
            return None
        email, created, clone_naming = found[0]
        return ProfileView(account, email, created, clone_naming, dict(fields))

    def log_entries(self, owner: str) -> Iterator[LogEntry]:
        """Yield the lines of an account's audit log, newest first."""
        rows = streamed(
            self._connection.cursor(),
            f"SELECT recorded_at, actor, lines FROM audit_log_g{self._g} WHERE owner = ?"
            " ORDER BY recorded_at DESC, stream DESC, version DESC",
            (owner,),
        )
        for recorded_at, actor, lines in rows:
            for line in reversed(_lines(lines)):
                yield LogEntry(recorded_at, actor, line)

    def count_log_entries(self, owner: str) -> int:
        found = self._all(
            f"SELECT coalesce(sum(json_array_length(lines)), 0) FROM audit_log_g{self._g}"
            " WHERE owner = ?",
            (owner,),
        )
        return int(found[0][0])
