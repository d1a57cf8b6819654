"""`X-Ledger-Not-Applied`: the fields of a successful request that have changed nothing.

The public API answers some requests with success and ignores a part of them: what a running server
keeps, and fields that nobody knows. The status stays as documented, and this header says so. What
is only shown, such as a drive's `status`, may be sent back and is not named.
"""

import re
from collections.abc import Iterable, Mapping

from aiohttp import web

NOT_APPLIED = "X-Ledger-Not-Applied"
NAMED_MAX = 20
OTHERS = "..."
"""Stands for fields that are too many, or whose names no header can carry."""

_FIELDS: web.RequestKey[dict[str, None]] = web.RequestKey("not-applied")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def note_not_applied(request: web.Request, fields: Iterable[str]) -> None:
    """Note fields of the request that change nothing."""
    for field in fields:
        request.setdefault(_FIELDS, {})[field] = None


def tell_not_applied(request: web.Request, answer: web.StreamResponse) -> None:
    """Add the header to an answer of success, if anything was noted."""
    noted = request.get(_FIELDS)
    if noted:
        answer.headers[NOT_APPLIED] = _told(list(noted))


def differing(given: Mapping[str, object], there: object) -> list[str]:
    """Return the fields that are given, and that are otherwise there; None is not given."""
    return [
        name for name, value in given.items() if value is not None and value != getattr(there, name)
    ]


def _told(fields: list[str]) -> str:
    names = [field for field in fields[:NAMED_MAX] if _NAME.fullmatch(field)]
    return ", ".join(names if len(names) == len(fields) else [*names, OTHERS])
