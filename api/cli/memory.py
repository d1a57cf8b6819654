"""Memory of a process that runs for long: how much of what was freed the C library keeps.

glibc gives each thread a heap of its own, up to eight for each processor, and each heap keeps what
its thread has freed. A long read fills SQLite's cache and frees it, in whichever thread has its
turn: in the end every heap keeps as much as one read has ever needed. Two heaps are enough, as
threads seldom allocate at the same moment; a fixed threshold returns their free ends to the system.
"""

import ctypes

HEAPS = 2
FREE_BYTES = 128 * 1024
"""How much stays free at the end of a heap: glibc's default, which by itself it would raise."""
_ARENA_MAX, _TRIM_THRESHOLD = -8, -1  # of mallopt(3)


def keep_little_memory() -> None:
    """Set up the C library, before there are threads. One without `mallopt` stays as it is."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_ARENA_MAX, HEAPS)
        mallopt(_TRIM_THRESHOLD, FREE_BYTES)
