"""Switches garbage collection off while source is parsed.

Garbage may log an exception as it goes, whose traceback parses source in turn; CPython's parser
cannot be entered twice (gh-106905: "AST constructor recursion depth mismatch"). Hypothesis parses
the source of lambdas, so one test's garbage made another fail, once, where the machine was slow.
"""

import ast
import gc
from functools import wraps
from typing import Any

_parse = ast.parse


@wraps(_parse)
def _parse_uncollected(*given: Any, **named: Any) -> ast.AST:
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return _parse(*given, **named)
    finally:
        if was_enabled:
            gc.enable()


def pytest_configure() -> None:
    ast.parse = _parse_uncollected  # type: ignore[assignment]
