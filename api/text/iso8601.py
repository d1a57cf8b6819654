"""Times and durations as ISO 8601 writes them."""

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta

# The offset is required: without one, a time would be taken for one of this machine's zone.
_TIME = re.compile(r"[0-9-]{8,10}[Tt ][0-9:.,]{1,32}(?:[Zz]|[+ -][0-9:]{1,8})")
_NUMBER = "([0-9]{1,18})"
_DURATION = re.compile(
    rf"P(?=.)(?:{_NUMBER}W)?(?:{_NUMBER}D)?"
    rf"(?:T(?=.)(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?"
)
_BLANK_FOR_PLUS = re.compile(r"(?<=[0-9]) (?=[0-9:]+$)")

EXAMPLE = "2026-04-17T08:15:30Z"


def moment(text: str) -> datetime | None:
    """Parse a time of a query, into UTC; return None if it is not one, or has no offset.

    In a query `+` means a blank, which some clients forget: a blank before an offset is a `+`.
    """
    if _TIME.fullmatch(text):
        with suppress(ValueError, OverflowError):
            return datetime.fromisoformat(_BLANK_FOR_PLUS.sub("+", text).upper()).astimezone(UTC)
    return None


def duration(text: str) -> timedelta | None:
    """Parse a duration; return None if it is not one, is too long, or has years or months."""
    found = _DURATION.fullmatch(text)
    if found is None:
        return None
    weeks, days, hours, minutes, seconds = (int(number or 0) for number in found.groups())
    with suppress(OverflowError):
        return timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    return None


def duration_text(duration: timedelta) -> str:
    minutes, seconds = divmod(duration.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days = f"{duration.days}D" if duration.days else ""
    parts = ((hours, "H"), (minutes, "M"), (seconds, "S"))
    time = "".join(f"{number}{unit}" for number, unit in parts if number)
    return f"P{days}{'T' if time else ''}{time}" if days or time else "PT0S"
