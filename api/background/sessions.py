"""Following the sessions of open websockets, which end with them."""

from contextlib import AbstractAsyncContextManager

from api.accounts.sessions import Sessions
from api.background.loop import repeat
from api.background.revocations import POLL_S


def follow_sessions(sessions: Sessions) -> AbstractAsyncContextManager[None]:
    """Find sessions that have expired, or that other nodes have ended."""
    return repeat(sessions.find_ended, POLL_S, failure="ended sessions are not known")
