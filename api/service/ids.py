"""Drawing uuids."""

import random
import threading
import time

_random = random.SystemRandom()


class TimeOrderedIds:
    """Draws UUIDs of version 7 (RFC 9562): microseconds, then randomness, so that they sort.

    Rows that are made together lie together in every index: a clone dirties a tenth of the pages
    that it does with random ids.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last_us = 0

    def __call__(self) -> str:
        with self._lock:
            self._last_us = now_us = max(time.time_ns() // 1000, self._last_us + 1)
        milliseconds, rest = divmod(now_us, 1000)
        # The twelve bits behind the milliseconds are a fraction of them (method 3 of section 6.2).
        fraction = rest * 4096 // 1000
        high = milliseconds << 16 | 0x7 << 12 | fraction
        low = 0b10 << 62 | _random.getrandbits(62)
        digits = f"{high << 64 | low:032x}"  # several times as fast as uuid.UUID
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


new_id = TimeOrderedIds()
