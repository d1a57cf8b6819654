"""Limits of a service that hurries nobody: on a slow machine a test would meet those of time."""

from typing import Any

import msgspec

from api.service.limits import Limits

OF_TIME = [
    field.name
    for field in msgspec.structs.fields(Limits)
    if field.name.endswith(("_second", "_seconds", "_minute"))
]


def unhurried(**limits: Any) -> Limits:
    """Return these limits, and no others of time."""
    return Limits(**(dict.fromkeys(OF_TIME, 0) | limits))
