"""Default names of clones: the source's name with an ending that the owner's profile chooses.

`COUNTER` appends `_1`, or increments the counter that is there. `DATE` and `TIMESTAMP` append the
current one, or replace an earlier one together with the counter behind it. If the name already ends
in the current one, a counter behind it numbers the clones of that day or second.

Each strategy recognises only endings that it would have written itself: `-17` is not a counter,
`-2026-13-99` is not a date but part of the name, and so is a date for `TIMESTAMP`.
"""

import re
from datetime import UTC, datetime
from typing import assert_never

from ledger.domain.events.profiles import CloneNaming

NAME_LENGTH = 255
"""Characters of a name."""

_STAMP_LENGTH = len("-2026-04-17 08:15:30")
_COUNTER_DIGITS = NAME_LENGTH - _STAMP_LENGTH - len("_") - 1
"""Longer numbers are not counters: incremented, they could leave no room for a stamp."""

_COUNTER = rf"_(?P<counter>[0-9]{{1,{_COUNTER_DIGITS}}})"
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIMESTAMP = rf"{_DATE} [0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}"

# A name may hold line breaks: DOTALL, and matches of the whole of it.
_WITH_COUNTER = re.compile(rf"(?P<stem>.*){_COUNTER}", re.DOTALL)
_WITH_DATE = re.compile(rf"(?P<stem>.*)-(?P<stamp>{_DATE})({_COUNTER})?", re.DOTALL)
_WITH_TIMESTAMP = re.compile(rf"(?P<stem>.*)-(?P<stamp>{_TIMESTAMP})({_COUNTER})?", re.DOTALL)


def clone_name(name: str, naming: CloneNaming, now: datetime) -> str:
    """Return the name of a clone of `name`, made at the moment `now` (dates are in UTC).

    Both names have up to `NAME_LENGTH` characters: what stands before the ending is cut if needed.
    Names need not be unique.
    """
    at = now.astimezone(UTC).replace(tzinfo=None, microsecond=0)
    match naming:
        case "NONE":
            return name
        case "COUNTER":
            return _count_up(name)
        case "DATE":
            return _stamp(name, _WITH_DATE, at.date().isoformat())
        case "TIMESTAMP":
            return _stamp(name, _WITH_TIMESTAMP, at.isoformat(" "))
        case _:
            assert_never(naming)


def _count_up(name: str) -> str:
    match = _WITH_COUNTER.fullmatch(name)
    if match is None:
        return _end_with(name, "_1")
    return _end_with(match["stem"], _increment(match["counter"]))


def _stamp(name: str, form: re.Pattern[str], current: str) -> str:
    match = form.fullmatch(name)
    if match is None or not _is_real(match["stamp"]):
        return _end_with(name, f"-{current}")
    if match["stamp"] != current:
        return _end_with(match["stem"], f"-{current}")
    return _end_with(match["stem"], f"-{current}{_increment(match['counter'] or '0')}")


def _increment(counter: str) -> str:
    return f"_{int(counter) + 1}"


def _end_with(stem: str, ending: str) -> str:
    return stem[: NAME_LENGTH - len(ending)] + ending


def _is_real(stamp: str) -> bool:
    """Whether the calendar has this day, and the day this time."""
    try:
        datetime.fromisoformat(stamp)
    except ValueError:
        return False
    return True
