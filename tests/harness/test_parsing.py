"""Garbage that parses source, such as an exception that is logged late, disturbs no parser."""

import ast
import inspect

import hypothesis.strategies


class Garbage:
    """Garbage that only the collector frees."""

    parsed = 0

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        ast.parse("self.itself")
        Garbage.parsed += 1


def test_garbage_that_parses_does_not_break_a_parser() -> None:
    source = inspect.getsource(hypothesis.strategies)
    for _ in range(20):
        for _ in range(100):
            Garbage()
        assert ast.parse(source)
    assert Garbage.parsed > 0
