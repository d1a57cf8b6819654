"""How copies leave room for the ledger, whose syncs would wait behind the pages that they dirty.

While anybody wants something recorded, the copies into a pool go in small steps: one copy after the
other, each step durable before the next begins, and none begins while the ledger commits. Otherwise
they go in large steps that overlap.
"""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

STEP_BYTES = 16 * 1024 * 1024
IN_USE_S = 1.0
PAUSE_S = 0.25
"""How long a step waits for the end of a commit: a ledger that hangs holds up no copy."""


class Commits(Protocol):
    """What copies ask of the ledger. In any thread."""

    @property
    def unasked_s(self) -> float:
        """For how long nobody has wanted anything recorded; workers, which report, do not count."""

    def await_pause(self, most_s: float) -> None:
        """Wait until no commit is under way, but no longer than this."""


def leaves_room(unasked_s: float) -> bool:
    """Return whether a copy goes in small steps."""
    return unasked_s < IN_USE_S


class Steps(Protocol):
    """Hands out the steps of copies."""

    def step(self) -> AbstractContextManager[bool]:
        """Wait until a step may be made; yield whether it must be durable at its end."""


class Freely:
    """Large steps, where no ledger is in the way."""

    def step(self) -> AbstractContextManager[bool]:
        return nullcontext(enter_result=False)


FREELY = Freely()


class BesideCommits:
    """The steps of all copies from one pool to another: a pool that hangs holds up no others."""

    def __init__(self, commits: Commits) -> None:
        self._commits = commits
        self.turns = Turns()

    @contextmanager
    def step(self) -> Iterator[bool]:
        if not leaves_room(self._commits.unasked_s):
            yield False
            return
        with self.turns.turn():
            self._commits.await_pause(PAUSE_S)
            yield True


class Turns:
    """A lock that is handed on in the order in which it was asked for."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._taken = False
        self.waiting: deque[threading.Lock] = deque()

    @contextmanager
    def turn(self) -> Iterator[None]:
        self._take()
        try:
            yield
        finally:
            self._hand_on()

    def _take(self) -> None:
        with self._mutex:
            if not self._taken:
                self._taken = True
                return
            mine = threading.Lock()
            mine.acquire()
            self.waiting.append(mine)
        mine.acquire()

    def _hand_on(self) -> None:
        with self._mutex:
            if self.waiting:
                self.waiting.popleft().release()
            else:
                self._taken = False
