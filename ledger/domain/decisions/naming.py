"""What a clone is called when nobody has said: its source's name, told apart as its owner likes.

`COUNTER` ends a name in `_1` or raises the number there; `DATE` and `TIMESTAMP` end it in the
current one, or put that in the place of an earlier one, together with what was counted behind it.
Where it is the current one already, the clones of that day or second are counted behind it.

Each strategy knows its own ending only, and takes nothing for one that it would not have written:
`-17` is no counter, `-2026-13-99` no date but a part of the name, and so is a date for `TIMESTAMP`.
"""

import re
from datetime import UTC, datetime
from typing import assert_never

from ledger.domain.events import CloneNaming

NAME_LENGTH = 255
"""Characters of a name."""

_STAMP_LENGTH = len("-2026-04-17 08:15:30")
_COUNTER_DIGITS = NAME_LENGTH - _STAMP_LENGTH - len("_") - 1
"""Digits of a counter; longer ones are no counters, raised they could leave no room for a stamp."""

_COUNTER = rf"_(?P<counter>[0-9]{{1,{_COUNTER_DIGITS}}})"
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIMESTAMP = rf"{_DATE} [0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}"

# A name may hold line breaks: DOTALL, and matches of the whole of it.
_COUNTED = re.compile(rf"(?P<stem>.*){_COUNTER}", re.DOTALL)
_DATED = re.compile(rf"(?P<stem>.*)-(?P<stamp>{_DATE})({_COUNTER})?", re.DOTALL)
_TIMESTAMPED = re.compile(rf"(?P<stem>.*)-(?P<stamp>{_TIMESTAMP})({_COUNTER})?", re.DOTALL)


def clone_name(name: str, naming: CloneNaming, now: datetime) -> str:
    """The name of a clone of what is called `name`, made at the moment `now` (dates are in UTC).

    `name` has up to `NAME_LENGTH` characters, and so has the clone's: what comes before the ending
    is cut at its end if need be. Other things may be called the same.
    """
    at = now.astimezone(UTC).replace(tzinfo=None, microsecond=0)
    match naming:
        case "NONE":
            return name
        case "COUNTER":
            return _counted(name)
        case "DATE":
            return _stamped(name, _DATED, at.date().isoformat())
        case "TIMESTAMP":
            return _stamped(name, _TIMESTAMPED, at.isoformat(" "))
        case _:
            assert_never(naming)


def _counted(name: str) -> str:
    found = _COUNTED.fullmatch(name)
    if found is None:
        return _ending(name, "_1")
    return _ending(found["stem"], _raised(found["counter"]))


def _stamped(name: str, form: re.Pattern[str], current: str) -> str:
    found = form.fullmatch(name)
    if found is None or not _is_real(found["stamp"]):
        return _ending(name, f"-{current}")
    if found["stamp"] != current:
        return _ending(found["stem"], f"-{current}")
    return _ending(found["stem"], f"-{current}{_raised(found['counter'] or '0')}")


def _raised(counter: str) -> str:
    return f"_{int(counter) + 1}"


def _ending(stem: str, ending: str) -> str:
    return stem[: NAME_LENGTH - len(ending)] + ending


def _is_real(stamp: str) -> bool:
    """Whether there is such a day, and such a second of it."""
    try:
        datetime.fromisoformat(stamp)
    except ValueError:
        return False
    return True
