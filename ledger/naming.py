"""What a clone is called that is given no name: the strategies of the public API."""

import re
from datetime import datetime
from typing import assert_never

from ledger.events import CloneNaming

NAME_LENGTH = 255
"""Characters of a name at the most."""

_COUNTER = re.compile(r"(?s)(.*)_([0-9]+)")
_DATE = r"-[0-9]{4}-[0-9]{2}-[0-9]{2}"
_DATED = re.compile(rf"(?s)(.*?)({_DATE})(_[0-9]+)?")
_TIMED = re.compile(rf"(?s)(.*?)({_DATE} [0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}})(_[0-9]+)?")


def clone_name(name: str, naming: CloneNaming, now: datetime) -> str:
    """The name of a clone of something called `name`; at most `NAME_LENGTH` characters.

    - NONE: the same name.
    - COUNTER: `_1` is appended, or the number after the last `_` is raised.
    - DATE, TIMESTAMP: the moment, UTC, is appended, or put in the place of an earlier one and what
      was counted after it. If the current one stands there already, COUNTER is applied instead.

    Anything of the form of a date is taken for one. Where the result would be too long, the end of
    the original name is cut. Two clones may get the same name.
    """
    match naming:
        case "NONE":
            return name
        case "COUNTER":
            return _counted(name)
        case "DATE":
            return _stamped(name, f"-{now:%Y-%m-%d}", _DATED)
        case "TIMESTAMP":
            return _stamped(name, f"-{now:%Y-%m-%d %H:%M:%S}", _TIMED)
        case _:
            assert_never(naming)


def _counted(name: str) -> str:
    found = _COUNTER.fullmatch(name)
    raised = None if found is None else f"_{int(found[2]) + 1}"
    if found is None or raised is None or len(raised) > NAME_LENGTH:
        return _suffixed(name, "_1")
    return _suffixed(found[1], raised)


def _stamped(name: str, stamp: str, form: re.Pattern[str]) -> str:
    found = form.fullmatch(name)
    if found is None:
        return _suffixed(name, stamp)
    if found[2] == stamp:
        return _counted(name)
    return _suffixed(found[1], stamp)


def _suffixed(stem: str, suffix: str) -> str:
    return stem[: NAME_LENGTH - len(suffix)] + suffix
