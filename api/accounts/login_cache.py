"""A cache of logins, by which a request costs a dict lookup."""

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

V = TypeVar("V")

CACHED_S = 300.0
ENTRIES_MAX = 10_000


class _Entry(NamedTuple, Generic[V]):
    value: V
    account: str
    until: float


class LoginCache(Generic[V]):
    """Values by a hash of the secret that they were found by; a new one displaces the oldest.

    A value belongs to an account, and is removed with its logins. A lookup that is under way then
    may have read what was there before, so its result is not added. Nothing is found while it is
    uncertain whether all revocations are known.
    """

    def __init__(self, clock: Callable[[], float], is_current: Callable[[], bool]) -> None:
        self._clock = clock
        self._is_current = is_current
        self._entries: dict[bytes, _Entry[V]] = {}
        self._removals = 0

    @property
    def removals(self) -> int:
        """How often something was removed. A lookup reads it before it begins."""
        return self._removals

    def find(self, key: bytes) -> V | None:
        entry = self._entries.get(key)
        if entry is None or self._clock() >= entry.until or not self._is_current():
            return None
        return entry.value

    def add(
        self, key: bytes, value: V, *, account: str, since: int, valid_s: float = CACHED_S
    ) -> None:
        """Add what a lookup found, unless anything was removed since the lookup began."""
        if since != self._removals:
            return
        self._entries.pop(key, None)
        until = self._clock() + min(CACHED_S, valid_s)
        self._entries[key] = _Entry(value, account, until)
        if len(self._entries) > ENTRIES_MAX:
            del self._entries[next(iter(self._entries))]

    def remove(self, key: bytes) -> None:
        self._removals += 1
        self._entries.pop(key, None)

    def remove_all_of(self, account: str) -> None:
        self._removals += 1
        self._entries = {
            key: entry for key, entry in self._entries.items() if entry.account != account
        }
