"""Every class of expected errors, with one error of each."""

import pkgutil
from collections.abc import Iterator
from importlib import import_module

import api
import ledger
import projections
from api.accounts.service import TooManyAttempts
from api.http.errors import RequestRefused
from api.service.admission import TooMuch
from ledger.domain.errors import Expected


def expected_kinds() -> list[type[Expected]]:
    """All of them, in whatever module they are; one of two families comes once."""
    for package in (api, ledger, projections):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                import_module(module.name)
    return sorted({*_below(Expected)}, key=lambda kind: kind.__name__)


def _below(kind: type[Expected]) -> Iterator[type[Expected]]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)


def error_of(kind: type[Expected]) -> Expected:
    """An error of this class, whatever it is usually made of."""
    if issubclass(kind, TooManyAttempts):
        return kind(4)
    if kind is TooMuch:
        return TooMuch("websockets", 1, 4, "why")
    if kind is RequestRefused:
        return RequestRefused(400, "why")
    if issubclass(kind, RequestRefused):
        return kind("why")
    error = kind.__new__(kind)
    Exception.__init__(error, "why")
    return error
