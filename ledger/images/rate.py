"""A limit on bytes per second, shared by any number of copies."""

import threading
import time

CATCH_UP_S = 0.1
SHARE_S = 0.25
SMALLEST_SHARE_BYTES = 64 * 1024


class RateLimit:
    """Hands out bytes in the order they are asked for; safe to share between threads."""

    def __init__(self, bytes_per_s: int) -> None:
        if bytes_per_s <= 0:
            raise ValueError(f"a rate limit must be above 0 bytes per second, not {bytes_per_s}")
        self.bytes_per_s = bytes_per_s
        self._lock = threading.Lock()
        self._paid_until = time.monotonic()

    @property
    def share_bytes(self) -> int:
        """How much to take at once so that progress looks smooth."""
        return max(SMALLEST_SHARE_BYTES, int(self.bytes_per_s * SHARE_S))

    def take(self, count: int, stop: threading.Event) -> bool:
        """Wait until `count` bytes may pass; False at once when `stop` is set.

        Bytes given up that way stay taken (one share at most).
        """
        with self._lock:
            now = time.monotonic()
            # A copy that the disk held up may make up for a little of it, never for a long pause.
            begin = max(self._paid_until, now - CATCH_UP_S)
            self._paid_until = begin + count / self.bytes_per_s
            wait_s = self._paid_until - now
        return not stop.wait(max(wait_s, 0.0))
