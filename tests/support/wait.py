"""Waiting for what must happen, instead of sleeping and hoping that it has."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import pytest

T = TypeVar("T")

PATIENCE_S = 120.0
"""How long something that must happen may take before it counts as a hang.

A test that passes never waits for this long, so the limit costs nothing; a busy machine needs it.
"""
PAUSE_S = 0.02


def wait_for(
    what: str,
    find: Callable[[], T | None],
    *,
    within_s: float = PATIENCE_S,
    pause_s: float = PAUSE_S,
) -> T:
    """Return what `find` returns once that is true; nothing is found in what is empty, or 0."""
    give_up = time.monotonic() + within_s
    while True:
        found = find()
        if found:
            return found
        if time.monotonic() > give_up:
            pytest.fail(f"waited {within_s:g} s in vain: {what}")
        time.sleep(pause_s)


async def wait_until(
    what: str,
    find: Callable[[], T | Awaitable[T | None] | None],
    *,
    within_s: float = PATIENCE_S,
    pause_s: float = 0.005,
) -> T:
    """Do the same in an event loop, which goes on meanwhile; `find` may be a coroutine function."""
    give_up = time.monotonic() + within_s
    while True:
        found = find()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return found
        if time.monotonic() > give_up:
            pytest.fail(f"waited {within_s:g} s in vain: {what}")
        await asyncio.sleep(pause_s)


@asynccontextmanager
async def patience(what: str, within_s: float = PATIENCE_S) -> AsyncIterator[None]:
    """Let the body take as long as anything may; fail the test with `what` after that."""
    try:
        async with asyncio.timeout(within_s) as limit:
            yield
    except TimeoutError:
        if limit.expired():
            pytest.fail(f"waited {within_s:g} s in vain: {what}")
        raise
