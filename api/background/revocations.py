"""Following the revocations of logins that other nodes record."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from api.accounts.revocations import Revocations
from api.background.loop import repeat

POLL_S = 0.3


@asynccontextmanager
async def follow_revocations(revocations: Revocations) -> AsyncIterator[None]:
    """Poll for revocations, if the accounts are shared; nothing is cached while that fails."""
    if not revocations.shared:
        yield
        return
    await revocations.skip_earlier()
    async with repeat(revocations.poll, POLL_S, failure="revoked logins are not known"):
        yield
