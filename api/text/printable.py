"""Texts of anybody's, made safe for a line of a terminal or a log."""

import unicodedata

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode's categories of what is not seen: controls, marks of direction, what has no meaning."""


def escaped_json(text: str) -> str:
    """JSON that means the same, in which all that cannot be seen is escaped."""
    return text if text.isascii() else "".join(map(_escaped, text))


def _escaped(each: str) -> str:
    if each.isascii() or unicodedata.category(each) not in _UNSEEN:
        return each
    halves = each.encode("utf-16-be").hex()
    return "".join(f"\\u{halves[at : at + 4]}" for at in range(0, len(halves), 4))


def escaped(text: str) -> str:
    """The text with all written out that cannot be seen, moves the cursor or turns text around."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        f"\\u{{{ord(each):x}}}" if unicodedata.category(each) in _UNSEEN else each for each in text
    )
