"""Requests that meet: each has looked at what there is before any of them records something."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count

import pytest

from ledger.application import Ledger
from ledger.domain.commands import Command
from ledger.store.writer import Caller

Execute = Callable[[Command, Caller], Awaitable[int]]


def meet(patch: pytest.MonkeyPatch, number: int, *ledgers: Ledger) -> None:
    """Let commands wait, through whichever node they come, until there are so many."""
    came, all_are_there = count(1), asyncio.Event()

    for ledger in ledgers:

        async def wait(command: Command, by: Caller, execute: Execute = ledger.execute) -> int:
            if next(came) == number:
                all_are_there.set()
            await all_are_there.wait()
            return await execute(command, by)

        patch.setattr(ledger, "execute", wait)
