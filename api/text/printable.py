"""Untrusted texts, made safe for a line of a terminal or a log."""

import unicodedata

_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode's categories of invisible characters: controls, marks of direction, unassigned ones."""
_DELETE = "\x7f"


def escaped_json(text: str) -> str:
    """Return JSON of the same value with invisible characters escaped."""
    if text.isascii() and _DELETE not in text:
        return text
    return "".join(map(_escaped, text))


def _escaped(each: str) -> str:
    # Of ASCII, JSON has line ends and tabs between values, and nothing else but DEL in them.
    if each != _DELETE and (each.isascii() or unicodedata.category(each) not in _INVISIBLE):
        return each
    halves = each.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{halves[at : at + 4]}" for at in range(0, len(halves), 4))


def escaped_lines(text: str) -> str:
    return "\n".join(map(escaped, text.split("\n")))


def escaped(text: str) -> str:
    """Escape what is invisible, moves the cursor or reverses the direction of text."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        f"\\u{{{ord(each):x}}}" if unicodedata.category(each) in _INVISIBLE else each
        for each in text
    )
