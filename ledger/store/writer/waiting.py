"""What waits for the writer, and how its callers are woken."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeVar

from ledger.domain.commands import Command
from ledger.domain.context import ImageData
from ledger.domain.errors import Expected
from ledger.domain.errors.store import CommitPending, StoreUnreachable
from ledger.domain.idempotency import Claim
from ledger.store.patience import ANSWER_S
from ledger.store.seam import Cursor

T = TypeVar("T")

log = logging.getLogger(__name__)


class Caller(NamedTuple):
    """The caller, as recorded in the envelope of each event.

    With a `claim`, the command is refused as `AlreadyClaimed` if that was recorded before.
    """

    actor: str
    request_id: str
    claim: Claim | None = None


class Turn:
    """Decides who gets a command: the writer begins it, unless the caller withdraws it first."""

    def __init__(self) -> None:
        self._taken = threading.Lock()
        self._begun = False

    def begin(self) -> bool:
        """Return whether the writer may do it. In the writer's thread; may be repeated."""
        self._begun = self._begun or self._taken.acquire(blocking=False)
        return self._begun

    def withdraw(self) -> bool:
        """Return whether the writer will not do it."""
        return self._taken.acquire(blocking=False)


class WaitingCommand(NamedTuple):
    command: Command
    caller: Caller
    loop: asyncio.AbstractEventLoop | None
    future: "asyncio.Future[int] | Future[int]"
    turn: Turn
    images: ImageData
    """What was measured for it."""


class WaitingWork(NamedTuple):
    """Work other than a command, done between two batches in a transaction of its own.

    With an `afterwards`, other processes append nothing until it has been called. Whoever cancels
    the future before the transaction has begun withdraws the work.
    """

    run: Callable[[Cursor], Any]
    afterwards: Callable[[], None] | None
    future: "Future[Any]"


async def uncancelled(work: Awaitable[T]) -> T:
    """Wait for work that goes on if the caller is cancelled; nobody hears of its refusal then.

    With `asyncio.shield` alone, asyncio logs it as an exception that was never retrieved.
    """
    going_on = asyncio.ensure_future(work)
    waited = asyncio.shield(going_on)
    try:
        return await waited
    except asyncio.CancelledError:
        going_on.add_done_callback(_log_unexpected)
        if not waited.cancelled():
            waited.exception()
        raise


def _log_unexpected(work: asyncio.Future[T]) -> None:
    error = None if work.cancelled() else work.exception()
    if error is not None and not isinstance(error, Expected):
        log.error("work failed for which nobody waited any more", exc_info=error)


async def within_answer_s(answer: Awaitable[T], withdraw: Callable[[], bool]) -> T:
    """Wait for an answer, but not for long: our own client has a time limit, too.

    Raise `StoreUnreachable` if the work could be withdrawn, `CommitPending` if it is under way.
    """
    limit = asyncio.timeout(ANSWER_S)
    try:
        async with limit:
            return await answer
    except TimeoutError:
        if not limit.expired():
            raise  # it is the work's own
        if withdraw():
            raise StoreUnreachable("the store could not be reached in time") from None
        raise CommitPending from None


def reject(work: WaitingWork, error: BaseException) -> None:
    """Tell the caller of work that it failed, if one waits still."""
    future = work.future
    if future.running() or (not future.cancelled() and future.set_running_or_notify_cancel()):
        future.set_exception(error)


def wake(outcomes: Sequence[tuple[WaitingCommand, Exception | int]]) -> None:
    """Wake callers with their outcomes, by one call into each event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Any, Exception | int]]] = {}
    for waiting, outcome in outcomes:
        if waiting.loop is None:
            _resolve([(waiting.future, outcome)])
        else:
            by_loop.setdefault(waiting.loop, []).append((waiting.future, outcome))
    for loop, resolved in by_loop.items():
        try:
            loop.call_soon_threadsafe(_resolve, resolved)
        except RuntimeError:
            log.warning("an event loop closed before %d of its commands ended", len(resolved))


def _resolve(outcomes: list[tuple[Any, Exception | int]]) -> None:
    for future, outcome in outcomes:
        if future.done():
            continue  # its caller went away; what was recorded stays recorded
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
