"""Bytes of answers, which are in memory until the client has taken them.

They count for the account that asks or, in a budget of their own, for the address of a client that
has not logged in: what such clients leave unread keeps no account waiting.
"""

import asyncio
from collections.abc import Callable
from typing import Literal

from api.service.admission import Admission, Taken
from api.service.fair_queue import FairQueue
from api.service.limits import Limits

PART_BYTES = 256 * 1024
"""About the longest answer that is sent in one piece, and the size of parts of longer ones."""


class AnswerBytes:
    """Counts the bytes of answers, and makes reads wait while there are too many."""

    def __init__(
        self,
        admission: Admission,
        limits: Limits,
        resource: Literal["answer-bytes", "answer-bytes-without-login"] = "answer-bytes",
    ) -> None:
        self._admission = admission
        self._resource = resource
        self._wait_s = limits.answer_wait_seconds or None
        self.part = min([PART_BYTES, *filter(None, admission.limits_of(resource))])
        """About what a read needs, which must be free before it begins."""
        self._waiting = FairQueue[asyncio.Future[Taken]]()
        self._listeners: list[Callable[[], None]] = []
        self._is_waking = False

    def listen(self, on_room: Callable[[], None]) -> None:
        """Call `on_room` after bytes were given back."""
        self._listeners.append(on_room)

    def has_room(self, account: str) -> bool:
        """Return whether there is room for a part of an answer to the account."""
        return self._admission.has_room(account, self._resource, self.part)

    def charge(self, account: str, count: int) -> Taken:
        """Count bytes until the client has taken them."""
        taken = self._admission.charge(account, self._resource, count)
        return Taken(lambda: self._give_back(taken))

    async def room(self, account: str) -> None:
        """Wait until there is room. Raise `TooMuch` if that takes too long."""
        if self.has_room(account):
            return
        turn: asyncio.Future[Taken] = asyncio.get_running_loop().create_future()
        self._waiting.add(account, turn)
        try:
            async with asyncio.timeout(self._wait_s):
                await turn
        except TimeoutError:
            raise self._admission.refusal(account, self._resource, self.part) from None
        finally:
            self._waiting.remove(account, turn)
            if turn.done() and not turn.cancelled():
                turn.result().give_back()

    def _give_back(self, taken: Taken) -> None:
        taken.give_back()
        if not self._is_waking:
            self._is_waking = True
            asyncio.get_running_loop().call_soon(self._wake)

    def _wake(self) -> None:
        """Wake those for which there is room; each holds the size of a part until it runs."""
        self._is_waking = False
        while (found := self._waiting.next(self.has_room)) is not None:
            account, turn = found
            if not turn.done():
                turn.set_result(self.charge(account, self.part))
        for on_room in self._listeners:
            on_room()
