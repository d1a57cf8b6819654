"""Cases that share their fixtures: `in_turn`."""

import pytest

from tests.harness.cases import in_turn


@pytest.fixture
def begun() -> list[object]:
    return []


@in_turn("letter", "ab")
@in_turn(("number", "sign"), [(1, "+"), (2, "-")])
def test_every_case_runs_on_what_was_begun_once(
    begun: list[object], letter: str, number: int, sign: str
) -> None:
    begun.append((letter, number, sign))
    every = [("a", 1, "+"), ("a", 2, "-"), ("b", 1, "+"), ("b", 2, "-")]
    assert begun == every[: len(begun)]


@in_turn("letter", "abc")
def spell(spelt: list[str], letter: str) -> None:
    spelt.append(letter)


def test_no_case_is_left_out() -> None:
    spelt: list[str] = []
    spell(spelt=spelt)
    assert spelt == ["a", "b", "c"]


@in_turn("number", [1, 2, 3])
async def count_to_one(counted: list[int], number: int) -> None:
    counted.append(number)
    assert number < 2


async def test_the_first_case_that_fails_is_named_and_the_last() -> None:
    counted: list[int] = []
    with pytest.raises(AssertionError) as failed:
        await count_to_one(counted=counted)
    assert counted == [1, 2]
    assert failed.value.__notes__ == ["with number=2"]
