"""Labels of jobs: what keys and values may be, and how many there may be. Pure.

Keys are those of Kubernetes: a name and, if wanted, a domain before it (`example.test/team`). A
value has no character that a selector would have to quote.
"""

import re
from collections.abc import Iterable, Mapping

LABELS_MOST = 32
"""Labels of one job, and keys that one change may name."""
CHANGES_MOST = 200
"""Changes of one job's labels, so that its history stays short."""
VALUE_MOST = 63
NAME_MOST = 63
PREFIX_MOST = 253

_NAME = re.compile(rf"[A-Za-z0-9]([A-Za-z0-9._-]{{0,{NAME_MOST - 2}}}[A-Za-z0-9])?")
_PREFIX_PART = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_PREFIX = re.compile(rf"{_PREFIX_PART}(\.{_PREFIX_PART})*")
_VALUE = re.compile(rf"[A-Za-z0-9._:/@+-]{{0,{VALUE_MOST}}}")
KEY_PATTERN = rf"^({_PREFIX.pattern}/)?{_NAME.pattern}$"
VALUE_PATTERN = f"^{_VALUE.pattern}$"
"""For descriptions; that of a key leaves out how long a domain may be in all."""


def is_key(text: str) -> bool:
    """Return whether a label may have this key."""
    prefix, slash, name = text.rpartition("/")
    if slash and (len(prefix) > PREFIX_MOST or _PREFIX.fullmatch(prefix) is None):
        return False
    return _NAME.fullmatch(name) is not None


def is_value(text: str) -> bool:
    """Return whether a label may have this value, which may be empty."""
    return _VALUE.fullmatch(text) is not None


def wrong_label(labels: Mapping[str, str], removed: Iterable[str]) -> str | None:
    """Return what cannot be in a change that sets and removes these labels; None if all can be."""
    for key in (*labels, *removed):
        if not is_key(key):
            return f"{key!r} is no key of a label"
    for key, value in labels.items():
        if not is_value(value):
            return f"{value!r} is no value of a label: {key} may have letters, digits and -_.:/@+"
    both = sorted(labels.keys() & set(removed))
    return f"label {both[0]} is to be set and removed at once" if both else None


def changed(
    before: Mapping[str, str], labels: Mapping[str, str], removed: Iterable[str]
) -> dict[str, str]:
    """Return the labels after a change of them."""
    gone = set(removed)
    return {key: value for key, value in {**before, **labels}.items() if key not in gone}
