"""Waiting for a service that is away for some seconds, as while it restarts behind a proxy."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from api.client.errors import ClientError, Refused, Unreachable
from api.client.http import Client

T = TypeVar("T")

TRIES = 8
PAUSE_S = 1.0
"""All pauses together are long enough for a service to restart."""


class Patience:
    """Counts failed tries."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._tries_left = TRIES

    async def wait(
        self, error: ClientError, *, came_on: bool = False, passes: bool = False
    ) -> None:
        """Wait before the next try; `came_on` restarts the count, since there was progress.

        Raises the error after too many failed tries, or if it is permanent, unless the caller knows
        that it `passes`.
        """
        self._tries_left = TRIES if came_on else self._tries_left - 1
        if not self._tries_left or not (passes or may_pass(error)):
            raise error
        asked_s = error.retry_after_s if isinstance(error, Refused) else 0.0
        await self._client.pause(max(PAUSE_S, asked_s))


async def patiently(client: Client, ask: Callable[[], Awaitable[T]]) -> T:
    """Return what `ask` returns; repeat it after temporary errors. Raises `ClientError`."""
    patience = Patience(client)
    while True:
        try:
            return await ask()
        except ClientError as error:
            await patience.wait(error)


def may_pass(error: ClientError) -> bool:
    """Return whether the error is temporary, so that the request may be repeated."""
    return isinstance(error, Unreachable) or (isinstance(error, Refused) and error.may_pass)
