"""Garbage that parses source, such as an exception that is logged late, disturbs no parser."""

import ast
import gc
import inspect
from collections.abc import Iterator

import hypothesis.strategies
import pytest


class Garbage:
    """Garbage that only the collector frees."""

    parsed = 0

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        ast.parse("self.itself")
        Garbage.parsed += 1


@pytest.fixture(autouse=True)
def often() -> Iterator[None]:
    """Let garbage be collected while the source is parsed, and not only long after."""
    usual = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*usual)


def test_garbage_that_parses_does_not_break_a_parser() -> None:
    source = inspect.getsource(hypothesis.strategies)
    for _ in range(20):
        for _ in range(100):
            Garbage()
        assert ast.parse(source)
    assert Garbage.parsed > 0
