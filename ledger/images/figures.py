"""Live figures of one copy: written by the copying thread, read by any other."""

import math
import threading
import time
from collections.abc import Callable

SAMPLE_S = 0.25
SMOOTHING_S = 3.0


class Figures:
    """How far a copy is and how fast it goes.

    Counts data bytes copied, which run ahead of the durable ones that checkpoints name.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._done = 0
        self._total = 0
        self.moved = 0
        """Bytes that were copied under these figures, without those before `begin`."""
        self._rate = 0.0
        self._measured = False
        self._sampled_at = clock()
        self._since_sample = 0

    def begin(self, bytes_done: int, bytes_total: int) -> None:
        """Set where the copy starts; what was done before does not count towards the rate."""
        with self._lock:
            self._done = bytes_done
            self._total = bytes_total
            self._rate = 0.0
            self._measured = False
            self._sampled_at = self._clock()
            self._since_sample = 0

    def advance(self, count: int) -> None:
        """Note `count` more bytes of data copied."""
        with self._lock:
            self._done = min(self._done + count, self._total)
            self.moved += count
            self._since_sample += count
            now = self._clock()
            if now - self._sampled_at >= SAMPLE_S:
                self._rate = self._smoothed(now)
                self._measured = True
                self._sampled_at = now
                self._since_sample = 0

    def complete(self) -> None:
        """Note that all is there; what is shared instead of copied gets there at once."""
        with self._lock:
            self._done = self._total

    @property
    def bytes_done(self) -> int:
        return self._done

    @property
    def bytes_total(self) -> int:
        return self._total

    @property
    def bytes_per_s(self) -> float:
        """Smoothed over about SMOOTHING_S; sinks while nothing moves; 0.0 while unknown."""
        with self._lock:
            return self._smoothed(self._clock())

    @property
    def eta_s(self) -> float | None:
        """Seconds to go at this rate; None while unknown."""
        rate = self.bytes_per_s
        left = self._total - self._done
        if left <= 0:
            return 0.0 if self._total else None
        return left / rate if rate > 0 else None

    def _smoothed(self, now: float) -> float:
        passed = now - self._sampled_at
        if passed < SAMPLE_S:  # too short to say anything
            return self._rate
        latest = self._since_sample / passed
        if not self._measured:
            return latest
        return latest + (self._rate - latest) * math.exp(-passed / SMOOTHING_S)
