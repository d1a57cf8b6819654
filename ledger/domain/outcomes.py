"""What is known, after a failure, about a change that was to be recorded.

The outcome must never claim more than is certain; `unknown` is always allowed.
"""

from typing import Literal

from ledger.domain.errors.store import CommitFailed, CommitPending, PauseLost

Outcome = Literal["not-recorded", "unknown", "recorded"]


def outcome_of(error: Exception) -> Outcome:
    """Return what is known about a command, or other work, that ended with this error."""
    match error:
        case PauseLost():
            return "recorded"
        case CommitFailed() | CommitPending():
            return "unknown"
        case _:
            return "not-recorded"
