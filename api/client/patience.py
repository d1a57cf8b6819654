"""Waiting for a service that is away for some seconds: while it starts, a proxy answers for it."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from api.client.errors import ClientError, Refused, Unreachable
from api.client.http import Client

T = TypeVar("T")

TRIES = 8
PAUSE_S = 1.0
"""All pauses together are long enough for a service to restart."""


class Patience:
    """Counts tries in vain."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._tries_left = TRIES

    async def wait(
        self, error: ClientError, *, came_on: bool = False, passes: bool = False
    ) -> None:
        """Wait before the next try; `came_on` begins the count anew.

        Raises the error after too many tries in vain, or if it will not pass; the caller may know
        that it `passes`.
        """
        self._tries_left = TRIES if came_on else self._tries_left - 1
        if not self._tries_left or not (passes or may_pass(error)):
            raise error
        asked_s = error.retry_after_s if isinstance(error, Refused) else 0.0
        await self._client.pause(max(PAUSE_S, asked_s))


async def patiently(client: Client, ask: Callable[[], Awaitable[T]]) -> T:
    """Return what `ask` returns; ask again while its error may pass. Raises `ClientError`."""
    patience = Patience(client)
    while True:
        try:
            return await ask()
        except ClientError as error:
            await patience.wait(error)


def may_pass(error: ClientError) -> bool:
    """Return whether the same request may be answered otherwise after a while."""
    return isinstance(error, Unreachable) or (isinstance(error, Refused) and error.may_pass)
