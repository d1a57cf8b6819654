"""The tokens of jobs: derived by a key of the ledger and stored nowhere.

`jlj_<uuid>.<attempt>.<MAC>`: the last part holds the digest of the instance and an HMAC over all
three, so that a token can be checked also by a ledger that was restored and does not know the
attempt. Whoever registers the same again is told the same token.
"""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from api.accounts.grants import JobClaim
from api.data.private_tables import PrivateTables
from ledger.domain.errors import Expected
from ledger.store.seam import Cursor
from ledger.store.tables import job_token_keys as table

PREFIX: Final = "jlj_"
KEY_BYTES: Final = 32
KNOWN_FOR: Final = timedelta(minutes=1)
"""A node signs by keys that it has read so long ago at most."""
KEPT_LEAST: Final = timedelta(minutes=5)
"""How long a key is the newest at least, so that every node has signed by it before it goes."""

_TOKEN = re.compile(
    r"jlj_([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.([1-9][0-9]{0,8})\.([\w-]{86})", re.ASCII
)


class ChangedJustNow(Expected):
    """The key was changed a moment ago, and not every node may know the new one."""


class JobTokens:
    """Derives tokens and reads them, on all nodes by the same keys."""

    def __init__(self, tables: PrivateTables, now: Callable[[], datetime]) -> None:
        self._tables = tables
        self._now = now
        self._keys: tuple[table.JobTokenKey, ...] = ()
        self._read_at: datetime | None = None

    async def make(self, job: str, attempt: int, instance: str) -> str:
        """Return the token of an attempt that the process with this digest, in hex, makes."""
        claim = JobClaim(job, attempt, instance)
        keys = await self._known_keys() or await self._tables.write(self._add_first)
        self._keys = keys
        digest = bytes.fromhex(instance)
        return f"{PREFIX}{job}.{attempt}.{_encoded(digest + _mac(keys[0].key, claim))}"

    async def read(self, token: str) -> JobClaim | None:
        """Return what a token is for; None if it never was one of this ledger's."""
        told = claimed(token)
        if told is None:
            return None
        if not self._is_signed(*told):
            self._keys = await self._read()
        return told[0] if self._is_signed(*told) else None

    async def change_key(self) -> int:
        """Sign by a new key from now on, and return its number.

        Tokens by the key before it stay valid until the next change. Raise `ChangedJustNow`.
        """

        def change(cursor: Cursor) -> tuple[table.JobTokenKey, ...]:
            keys = table.every(cursor)
            if keys and self._now() - keys[0].made < KEPT_LEAST:
                raise ChangedJustNow("the key was changed less than five minutes ago")
            number = keys[0].number + 1 if keys else 1
            table.add(cursor, number, secrets.token_bytes(KEY_BYTES), self._now())
            return table.every(cursor)

        self._keys = await self._tables.write(change)
        return self._keys[0].number

    async def _known_keys(self) -> tuple[table.JobTokenKey, ...]:
        if self._read_at is None or abs(self._now() - self._read_at) > KNOWN_FOR:
            self._keys = await self._read()
        return self._keys

    async def _read(self) -> tuple[table.JobTokenKey, ...]:
        began = self._now()
        keys = await self._tables.read(table.every)
        self._read_at = began
        return keys

    def _add_first(self, cursor: Cursor) -> tuple[table.JobTokenKey, ...]:
        """Add the first key, unless another node has done so."""
        if not table.every(cursor):
            table.add(cursor, 1, secrets.token_bytes(KEY_BYTES), self._now())
        return table.every(cursor)

    def _is_signed(self, claim: JobClaim, mac: bytes) -> bool:
        return any(hmac.compare_digest(_mac(key.key, claim), mac) for key in self._keys)


def claimed(token: str) -> tuple[JobClaim, bytes] | None:
    """Return what a text says that it is a token for, and its MAC; None if it is no such text."""
    parts = _TOKEN.fullmatch(token)
    if parts is None:
        return None
    job, attempt, encoded = parts.groups()
    told = base64.urlsafe_b64decode(encoded + "==")
    if _encoded(told) != encoded:  # bits of the last character that mean nothing
        return None
    size = hashlib.sha256().digest_size
    return JobClaim(job, int(attempt), told[:size].hex()), told[size:]


def _encoded(told: bytes) -> str:
    return base64.urlsafe_b64encode(told).decode().rstrip("=")


def _mac(key: bytes, claim: JobClaim) -> bytes:
    text = f"job-token:{claim.job}.{claim.attempt}.{claim.instance}"
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
