"""Requests whose time is over while the writer is held at a certain point."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ledger.store.writer import waiting
from tests.api.calling import Answer
from tests.support.wait import PATIENCE_S, wait_until

FOR_EVER = 987_654.0
"""Tells the limits of commits from others."""


class Held:
    """Holds a thread that passes, until it may go on."""

    def __init__(self) -> None:
        self._reached, self._go_on = threading.Event(), threading.Event()
        self._limits: list[asyncio.Timeout] = []

    def pass_here(self) -> None:
        self._reached.set()
        assert self._go_on.wait(PATIENCE_S)

    async def answer(
        self, send: Callable[[], Awaitable[Answer]], monkeypatch: pytest.MonkeyPatch
    ) -> Answer:
        """Return the answer to a request whose time is over once the writer is held."""
        monkeypatch.setattr(waiting, "ANSWER_S", FOR_EVER)
        monkeypatch.setattr(asyncio, "timeout", self._timeout_after(asyncio.timeout))
        sending = asyncio.ensure_future(send())
        try:
            await wait_until("the writer is held", self._reached.is_set)
            for limit in self._limits:
                limit.reschedule(asyncio.get_running_loop().time())
            return await sending
        finally:
            self._go_on.set()

    def _timeout_after(self, timeout: Callable[[Any], asyncio.Timeout]) -> Any:
        def noting(delay: float | None) -> asyncio.Timeout:
            limit = timeout(delay)
            if delay == FOR_EVER:
                self._limits.append(limit)
            return limit

        return noting
