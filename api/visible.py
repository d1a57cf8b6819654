"""Texts of anybody's, made safe for a line of a terminal or a log."""

import unicodedata

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode's categories of what is not seen: controls, marks of direction, what has no meaning."""


def visible(text: str) -> str:
    """The text with all written out that cannot be seen, moves the cursor or turns text around."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        f"\\u{{{ord(each):x}}}" if unicodedata.category(each) in _UNSEEN else each for each in text
    )
