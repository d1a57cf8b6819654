"""Heavy reads: too long for the event loop, they run in threads that accounts share."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from api.service.admission import Admission, Taken, TooMuch
from api.service.answer_bytes import AnswerBytes
from api.service.lanes import Lanes
from api.service.limits import Limits

V = TypeVar("V")

RETRY_S = 5


class HeavyReads:
    """Gives each account its turns of a few threads.

    A read has a thread only while it makes a part of its answer, never while a client takes it.
    """

    def __init__(self, admission: Admission, limits: Limits) -> None:
        self.answers = AnswerBytes(admission, limits)
        self.answers.listen(self._hand_out)
        self._admission = admission
        self._limits = limits
        self._wait_s = limits.read_wait_seconds or None
        self._lanes = Lanes[asyncio.Future[Taken]](
            limits.read_threads, limits.running_reads_per_account, self.answers.has_room
        )
        self._threads = ThreadPoolExecutor(limits.read_threads, thread_name_prefix="read")

    async def read(
        self,
        account: str,
        work: Callable[[], V],
        *,
        begun: bool = False,
        recorded: bool = False,
    ) -> V:
        """Do some work in a thread when it is the account's turn.

        Raise `TooMuch` if too many reads of the account wait, or this one has waited too long. Once
        the client has a part of the answer (`begun`), it waits as long as it takes. What was
        `recorded` just now is shown before the account's other reads, however many wait.
        """
        with await self._turn(account, begun=begun, recorded=recorded):
            loop = asyncio.get_running_loop()
            done = self._threads.submit(work)
            done.add_done_callback(lambda _: loop.call_soon_threadsafe(self._end, account))
            return await asyncio.wrap_future(done)

    def submit(self, work: Callable[[], None]) -> "Future[None]":
        """Do short work in one of the threads without waiting for a turn."""
        return self._threads.submit(work)

    def close(self) -> None:
        """Wait until all threads have ended."""
        self._threads.shutdown()

    async def _turn(self, account: str, *, begun: bool, recorded: bool) -> Taken:
        """Wait for a thread; return the bytes that are reserved for the answer."""
        turn: asyncio.Future[Taken] = asyncio.get_running_loop().create_future()
        self._lanes.wait(account, turn, first=recorded)
        self._hand_out()
        if turn.done():
            return turn.result()
        try:
            if begun:
                return await turn
            wait = self._admission.charge if recorded else self._admission.take
            with wait(account, "waiting-reads", 1):
                async with asyncio.timeout(self._wait_s):
                    return await turn
        except BaseException as error:
            self._give_up(account, turn)
            if isinstance(error, TimeoutError):
                raise self._too_late() from None
            raise

    def _give_up(self, account: str, turn: asyncio.Future[Taken]) -> None:
        """Leave the queue, or give back a turn that came too late."""
        self._lanes.leave(account, turn)
        if turn.done() and not turn.cancelled():
            turn.result().give_back()
            self._end(account)

    def _too_late(self) -> TooMuch:
        message = f"it was not this read's turn for {self._wait_s:g} s"
        limit = self._limits.waiting_reads_per_account
        return self._admission.refuse("waiting-reads", limit, RETRY_S, message)

    def _hand_out(self) -> None:
        for account, turn in self._lanes.turns():
            if turn.done():  # it is leaving
                self._lanes.end(account)
            else:
                turn.set_result(self.answers.charge(account, self.answers.part))

    def _end(self, account: str) -> None:
        self._lanes.end(account)
        self._hand_out()
