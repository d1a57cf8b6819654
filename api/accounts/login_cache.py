"""What was verified or looked up a while ago, so that a request costs a dict lookup."""

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

V = TypeVar("V")

REMEMBERED_S = 300.0
REMEMBERED_MAX = 10_000


class _Entry(NamedTuple, Generic[V]):
    value: V
    account: str
    until: float


class LoginCache(Generic[V]):
    """Values by a hash of the secret that they were found by; the oldest makes room for a new one.

    A value belongs to an account and ends with it at once. A lookup that is under way then may
    have seen what was before, so it remembers nothing. As long as nobody is sure that all endings
    are known of, nothing is found.
    """

    def __init__(self, clock: Callable[[], float], sure: Callable[[], bool]) -> None:
        self._clock = clock
        self._sure = sure
        self._entries: dict[bytes, _Entry[V]] = {}
        self._endings = 0

    @property
    def endings(self) -> int:
        """How often something ended. A lookup notes it before it looks."""
        return self._endings

    def find(self, key: bytes) -> V | None:
        entry = self._entries.get(key)
        if entry is None or self._clock() >= entry.until or not self._sure():
            return None
        return entry.value

    def add(
        self, key: bytes, value: V, *, account: str, since: int, most_s: float = REMEMBERED_S
    ) -> None:
        """Remembers for a while what was looked up; not if anything ended since that began."""
        if since != self._endings:
            return
        self._entries.pop(key, None)
        until = self._clock() + min(REMEMBERED_S, most_s)
        self._entries[key] = _Entry(value, account, until)
        if len(self._entries) > REMEMBERED_MAX:
            del self._entries[next(iter(self._entries))]

    def end(self, key: bytes) -> None:
        """Ends one."""
        self._endings += 1
        self._entries.pop(key, None)

    def end_all_of(self, account: str) -> None:
        """Ends all of an account."""
        self._endings += 1
        self._entries = {
            key: entry for key, entry in self._entries.items() if entry.account != account
        }
