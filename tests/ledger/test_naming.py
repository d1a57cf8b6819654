"""What clones are called, by each of the strategies."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.events import CloneNaming
from ledger.naming import NAME_LENGTH, clone_name

NOW = datetime(2026, 4, 17, 8, 15, 30, 123456, UTC)
NAMES = st.one_of(
    st.text(max_size=NAME_LENGTH),
    st.from_regex(r"[a-z]{0,9}(-202[56]-04-1[67]( 08:15:30)?)?(_[0-9]{1,25})?", fullmatch=True),
)

RULES: list[tuple[CloneNaming, str, str]] = [
    ("NONE", "ember", "ember"),
    ("NONE", "ember_1", "ember_1"),
    ("COUNTER", "ember", "ember_1"),
    ("COUNTER", "ember_1", "ember_2"),
    ("COUNTER", "ember_9", "ember_10"),
    ("COUNTER", "ember_007", "ember_8"),
    ("COUNTER", "disk7", "disk7_1"),
    ("COUNTER", "ember-2026-04-17", "ember-2026-04-17_1"),
    ("COUNTER", "ember_1x", "ember_1x_1"),
    ("COUNTER", "ember_", "ember__1"),
    ("COUNTER", "", "_1"),
    ("COUNTER", "_" + "9" * 254, "_" + "9" * 252 + "_1"),
    ("COUNTER", "_1", "_2"),
    ("COUNTER", "two\nlines_1", "two\nlines_2"),
    ("DATE", "ember", "ember-2026-04-17"),
    ("DATE", "ember-2026-04-16", "ember-2026-04-17"),
    ("DATE", "ember-2026-04-17", "ember-2026-04-17_1"),
    ("DATE", "ember-2026-04-17_1", "ember-2026-04-17_2"),
    ("DATE", "ember-2026-04-16_3", "ember-2026-04-17"),
    ("DATE", "ember_3", "ember_3-2026-04-17"),
    ("TIMESTAMP", "ember", "ember-2026-04-17 08:15:30"),
    ("TIMESTAMP", "ember-2026-04-17 08:15:29", "ember-2026-04-17 08:15:30"),
    ("TIMESTAMP", "ember-2026-04-17 08:15:30", "ember-2026-04-17 08:15:30_1"),
    ("TIMESTAMP", "ember-2026-04-17 08:15:30_1", "ember-2026-04-17 08:15:30_2"),
    ("TIMESTAMP", "ember-2026-04-17 08:15:29_4", "ember-2026-04-17 08:15:30"),
    ("TIMESTAMP", "ember-2026-04-17", "ember-2026-04-17-2026-04-17 08:15:30"),
]


@pytest.mark.parametrize(("naming", "name", "expected"), RULES)
def test_a_clone_is_named_by_the_rules_of_its_strategy(
    naming: CloneNaming, name: str, expected: str
) -> None:
    """The table of the public API's documentation, and the cases around it."""
    assert clone_name(name, naming, NOW) == expected


def test_a_name_that_would_be_too_long_loses_the_end_of_its_stem() -> None:
    """The suffix is whole, so the next clone can go on from it."""
    longest = "x" * NAME_LENGTH
    first = clone_name(longest, "COUNTER", NOW)
    assert first == "x" * (NAME_LENGTH - 2) + "_1"
    assert clone_name(first, "COUNTER", NOW) == "x" * (NAME_LENGTH - 2) + "_2"


@given(NAMES, st.sampled_from(["NONE", "COUNTER", "DATE", "TIMESTAMP"]))
def test_a_name_is_never_too_long(name: str, naming: CloneNaming) -> None:
    """Whatever it was before, as long as it was not too long itself."""
    assert len(clone_name(name, naming, NOW)) <= NAME_LENGTH


@given(NAMES)
def test_counting_never_gives_the_same_name_again(name: str) -> None:
    """A hundred clones of clones have a hundred names."""
    names = [name]
    for _ in range(100):
        names.append(clone_name(names[-1], "COUNTER", NOW))
    assert len(set(names)) == len(names)


@given(NAMES, st.sampled_from(["DATE", "TIMESTAMP"]))
def test_later_a_stamp_replaces_the_one_that_was_put_there(name: str, naming: CloneNaming) -> None:
    """A clone of a clone is named as a clone of the original would be; nothing piles up."""
    tomorrow = NOW + timedelta(days=1)
    first = clone_name(name, naming, NOW)
    again = clone_name(first, naming, tomorrow)
    assert len(again) <= len(first)


@given(NAMES, st.sampled_from(["DATE", "TIMESTAMP"]))
def test_at_the_same_moment_a_stamp_is_kept_and_counted(name: str, naming: CloneNaming) -> None:
    """The fallback of the documentation: COUNTER, without removing the stamp."""
    first = clone_name(name, naming, NOW)
    again = clone_name(first, naming, NOW)
    assert again == clone_name(first, "COUNTER", NOW)
    assert again != first
