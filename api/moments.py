"""Times as a query gives them."""

import re
from contextlib import suppress
from datetime import UTC, datetime

# With an offset always: a time without one would be taken for one of this machine's own zone.
_TIME = re.compile(r"[0-9-]{8,10}[Tt ][0-9:.,]+(?:[Zz]|[+ -][0-9:]+)")
_BLANK_FOR_PLUS = re.compile(r"(?<=[0-9]) (?=[0-9:]+$)")

EXAMPLE = "2026-04-17T08:15:30Z"


def moment(text: str) -> datetime | None:
    """The time, in UTC; None for what is none, or has no offset.

    A `+` in a query means a blank, and some clients forget it: one before an offset is a `+`.
    """
    if _TIME.fullmatch(text):
        with suppress(ValueError, OverflowError):
            return datetime.fromisoformat(_BLANK_FOR_PLUS.sub("+", text).upper()).astimezone(UTC)
    return None
