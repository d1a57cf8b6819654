"""What guessing at passwords and tokens costs. Pure: it knows no store, no threads, and no clock.

Guesses cost the guesser. Known places of an account have an allowance of their own; every other
password counts against its address, over all accounts. No count of an account alone refuses
anybody, so nobody can lock others out.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Literal, NamedTuple, TypeVar

from api.accounts.limits import LoginLimits
from api.text.addresses import network_of
from ledger.domain.errors import Expected

K = TypeVar("K")
V = TypeVar("V")

PlaceClass = Literal["known", "new", "failing"]
"""A known place of the account; an unknown address without failures this hour, or with some."""

ALLOWANCE_S = 300.0
"""Wrong passwords at a known place count for so long."""
HALVING_S = 3600.0
"""The time in which the failures of an address lose half of their weight."""
FAILING_S = 3600.0
"""How long after its last failure an address is taken for one that guesses; no wait is longer."""
TOKENS_S = 60.0
KEYS_MAX = 50_000
"""Addresses, or known places, in memory; the one that failed longest ago is forgotten first."""


class TooManyAttempts(Expected):
    """Too many logins failed; the next may be tried after `retry_after_s`."""

    reason = "too many wrong logins from this address"

    def __init__(self, retry_after_s: float) -> None:
        self.retry_after_s = max(1, math.ceil(retry_after_s))
        super().__init__(
            f"{self.reason}: try again in {self.retry_after_s} s, or use a token, which never waits"
        )


class QueueFull(TooManyAttempts):
    """Too many passwords wait to be hashed."""

    reason = "too many logins at once"


class Place(NamedTuple):
    """Where a password comes from."""

    network: str
    """The address, as it is counted."""
    known_as: bytes | None
    """By what the account knows this place, if it does."""


class Rank(NamedTuple):
    """The order in which passwords are hashed: by class, then those with fewer failures first."""

    place_class: PlaceClass
    failures: float = 0.0


KNOWN = Rank("known")


@dataclass(slots=True)
class _Allowance:
    """The latest wrong passwords at a known place."""

    wrong_at: deque[float] = field(default_factory=deque)
    is_spent: bool = False


class _Failures(NamedTuple):
    """The failures of an address, which fade; the next password has to wait until a moment."""

    weight: float
    at: float
    wait_until: float


class _Minute(NamedTuple):
    began: float
    tokens: int


class Throttle:
    """Admits passwords and counts wrong ones, and unknown tokens."""

    def __init__(self, clock: Callable[[], float], limits: LoginLimits) -> None:
        self._clock = clock
        self._limits = limits
        self._allowances: _Newest[bytes, _Allowance] = _Newest()
        self._failures: _Newest[str, _Failures] = _Newest()
        self._tokens: _Newest[str, _Minute] = _Newest()

    def admit(self, place: Place) -> Rank:
        """Return the rank of a password. Raise `TooManyAttempts` while its address has to wait."""
        rank, failures = self.rank_of(place), self._failures.find(place.network)
        if rank.place_class == "failing" and failures is not None:
            wait_s = failures.wait_until - self._clock()
            if wait_s > 0:
                raise TooManyAttempts(wait_s)
        return rank

    def rank_of(self, place: Place) -> Rank:
        """Return the rank of a password, whether it is admitted now or not."""
        if place.known_as is not None and not self._is_spent(place.known_as):
            return KNOWN
        now, failures = self._clock(), self._failures.find(place.network)
        if failures is None or now - failures.at >= FAILING_S:
            return Rank("new")
        return Rank("failing", _faded(failures, now))

    def note_wrong(self, place: Place, rank: Rank) -> None:
        """Count a wrong password that was admitted with this rank."""
        if rank.place_class == "known" and place.known_as is not None:
            self._note_at_known_place(place.known_as)
        else:
            self._note_at_address(place.network)

    def note_right(self, place: Place) -> None:
        """Give a known place its allowance back; the failures of an address stay.

        Or else a guesser could clear them by logging in to an account of his own.
        """
        if place.known_as is not None:
            self._allowances.remove(place.known_as)

    def note_unknown_token(self, address: str) -> None:
        """Count an unknown token. Raise `TooManyAttempts` beyond the limit of a minute."""
        now, network = self._clock(), network_of(address)
        minute = self._tokens.find(network)
        if minute is None or now - minute.began >= TOKENS_S:
            minute = _Minute(now, 0)
        minute = _Minute(minute.began, minute.tokens + 1)
        self._tokens.add(network, minute)
        if 0 < self._limits.unknown_tokens < minute.tokens:
            raise TooManyAttempts(minute.began + TOKENS_S - now)

    def _is_spent(self, known_as: bytes) -> bool:
        allowance = self._allowances.find(known_as)
        return allowance is not None and allowance.is_spent

    def _note_at_known_place(self, known_as: bytes) -> None:
        limit, now = self._limits.wrong_at_known_place, self._clock()
        if limit == 0:
            return
        allowance = self._allowances.find(known_as) or _Allowance()
        wrong_at = allowance.wrong_at
        wrong_at.append(now)
        while now - wrong_at[0] >= ALLOWANCE_S:
            wrong_at.popleft()
        allowance.is_spent = allowance.is_spent or len(wrong_at) >= limit
        self._allowances.add(known_as, allowance)

    def _note_at_address(self, network: str) -> None:
        now, before = self._clock(), self._failures.find(network)
        weight = 1.0 if before is None else _faded(before, now) + 1.0
        self._failures.add(network, _Failures(weight, now, now + self._delay_s(weight)))

    def _delay_s(self, weight: float) -> float:
        free, most = self._limits.wrong_at_address, self._limits.login_delay
        if free == 0 or weight <= free:
            return 0.0
        # Bounded first: a large power is no float.
        return min(float(most), math.exp2(min(weight - free, 32.0)))


def _faded(failures: _Failures, now: float) -> float:
    return failures.weight * math.exp2((failures.at - now) / HALVING_S)


class _Newest(Generic[K, V]):
    """Values by key; the one that was added longest ago makes room."""

    def __init__(self) -> None:
        self._values: dict[K, V] = {}

    def find(self, key: K) -> V | None:
        return self._values.get(key)

    def add(self, key: K, value: V) -> None:
        self._values.pop(key, None)
        self._values[key] = value
        if len(self._values) > KEYS_MAX:
            del self._values[next(iter(self._values))]

    def remove(self, key: K) -> None:
        self._values.pop(key, None)
