"""Following what ends logins: revocations that other nodes record, and the ends of sessions."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from api.accounts.revocations import Revocations
from api.accounts.sessions import Sessions
from api.accounts.tokens import Tokens
from api.background.loop import repeat

POLL_S = 0.3
USES_S = 60.0


@asynccontextmanager
async def follow_revocations(revocations: Revocations) -> AsyncIterator[None]:
    """Poll for revocations, if the accounts are shared; nothing is cached while that fails."""
    if not revocations.shared:
        yield
        return
    await revocations.skip_earlier()
    async with repeat(revocations.poll, POLL_S, failure="revoked logins are not known"):
        yield


def follow_sessions(sessions: Sessions) -> AbstractAsyncContextManager[None]:
    """Find sessions of open websockets that have expired, or that other nodes have ended."""
    return repeat(sessions.find_ended, POLL_S, failure="ended sessions are not known")


def store_uses(tokens: Tokens) -> AbstractAsyncContextManager[None]:
    """Store when tokens were last used."""
    return repeat(tokens.store_uses, USES_S, failure="uses of tokens could not be stored")
