"""Why a producer's job failed, in words of ours.

What its program or a person said of it lies beside the ledger, and may be removed.
"""

from collections.abc import Mapping

from ledger.domain.events.jobs import JobFailed
from ledger.domain.events.producers import Exit, FailureReason, Outcome

_REASONS: Mapping[FailureReason | None, str] = {
    None: "it failed",
    "program": "its program failed",
    "signal": "its program was killed",
    "deadline": "it ran out of time",
    "lost": "its producer fell silent",
    "expired": "nobody took it up",
    "children": "a sub-job failed",
}


def failure(event: JobFailed) -> str:
    """Return why the job failed: what we know, else the type of the error, else the reason."""
    if event.error is not None:
        return event.error
    return f"{event.error_type or _REASONS[event.reason]}{_how(event.exit)}"


def _how(ended: Exit | None) -> str:
    if ended is not None and ended.signal is not None:
        return f" (signal {ended.signal})"
    if ended is not None and ended.code is not None:
        return f" (exit code {ended.code})"
    return ""


def failure_as_known(error: str, late: Outcome | None) -> str:
    """Return why an abandoned job failed once it may be known how it really ended."""
    return error if late is None else f"{error}; later reported: {late}"
