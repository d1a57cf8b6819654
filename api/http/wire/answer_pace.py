"""How slowly a client may take what is sent to it.

Only the time counts for which the service waits for the client, over all answers of a connection:
else each of many short ones could be taken as slowly as a long one may not.
"""

import math

from api.http.wire.bodies import WINDOW_S
from api.service.limits import Limits

LOOKS = 4
"""How often the service looks within the time for which a client may take nothing."""


class AnswerPace:
    """The pace at which one client takes its answers; the caller tells the time."""

    def __init__(self, limits: Limits) -> None:
        self._silence_s = limits.unread_seconds or math.inf
        self._window_s = WINDOW_S if limits.bytes_per_second else math.inf
        self._least_bytes = limits.bytes_per_second * WINDOW_S
        self._looked_at = 0.0
        self._unread = 0
        self._silent_s = 0.0
        self._waited_s = 0.0
        self._taken = 0

    @property
    def look_after_s(self) -> float:
        """When to look next, while the client is waited for; infinity if it may take any time."""
        return min(self._silence_s / LOOKS, self._window_s - self._waited_s)

    def begin_to_wait(self, now: float, unread: int) -> None:
        """Note that the client is waited for: it has so many bytes to take."""
        self._looked_at, self._unread, self._silent_s = now, unread, 0.0

    def look(self, now: float, unread: int) -> bool:
        """Note how many bytes it has to take by now; return whether it is too slow."""
        waited_s, taken = now - self._looked_at, max(0, self._unread - unread)
        self._looked_at, self._unread = now, unread
        self._silent_s = 0.0 if taken else self._silent_s + waited_s
        self._waited_s += waited_s
        self._taken += taken
        if self._waited_s < self._window_s:
            return self._silent_s >= self._silence_s
        is_behind = self._taken < self._least_bytes
        self._waited_s, self._taken = 0.0, 0
        return is_behind
