"""What is known, after a failure, about what was to be recorded.

A claim must never be more certain than the fact. `unknown` may always be claimed.
"""

from typing import Literal

from ledger.domain.errors import CommitFailed, CommitPending, PauseLost

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
