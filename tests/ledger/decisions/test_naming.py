"""The default names of clones (tests/contract/CONTRACT.md 2.7)."""

import re
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.domain.decisions.naming import NAME_LENGTH, clone_name
from ledger.domain.events.profiles import CloneNaming

NOW = datetime(2026, 4, 17, 8, 15, 30, 999_999, UTC)
TODAY = "2026-04-17"
THIS_SECOND = "2026-04-17 08:15:30"
NINES = "9" * 200


@pytest.mark.parametrize(
    ("naming", "name", "clone"),
    [
        # The same name
        ("NONE", "ember", "ember"),
        ("NONE", "ember_1", "ember_1"),
        ("NONE", "", ""),
        # A counter is `_` and digits at the very end
        ("COUNTER", "ember", "ember_1"),
        ("COUNTER", "ember_1", "ember_2"),
        ("COUNTER", "ember_9", "ember_10"),
        ("COUNTER", "ember_0", "ember_1"),
        ("COUNTER", "ember_007", "ember_8"),
        ("COUNTER", "ember_1_2", "ember_1_3"),
        ("COUNTER", "test_drive_x", "test_drive_x_1"),
        ("COUNTER", "", "_1"),
        ("COUNTER", "_7", "_8"),
        ("COUNTER", "ember_", "ember__1"),
        ("COUNTER", "disk7", "disk7_1"),
        ("COUNTER", "ember_1 ", "ember_1 _1"),
        ("COUNTER", "ember_1\n", "ember_1\n_1"),
        ("COUNTER", "a\nb_1", "a\nb_2"),
        ("COUNTER", "ember_٣", "ember_٣_1"),
        ("COUNTER", "ember-2026-04-17", "ember-2026-04-17_1"),
        ("COUNTER", f"x_{NINES}", f"x_1{'0' * 200}"),
        # A date is appended or replaced; today's is counted
        ("DATE", "ember", "ember-2026-04-17"),
        ("DATE", "ember-2026-04-16", "ember-2026-04-17"),
        ("DATE", "ember-2031-01-01", "ember-2026-04-17"),
        ("DATE", "ember-2026-04-17", "ember-2026-04-17_1"),
        ("DATE", "ember-2026-04-17_1", "ember-2026-04-17_2"),
        ("DATE", "ember-2026-04-16_3", "ember-2026-04-17"),
        ("DATE", "ember_3", "ember_3-2026-04-17"),
        ("DATE", "", "-2026-04-17"),
        ("DATE", "-2026-04-16", "-2026-04-17"),
        ("DATE", "a\nb-2026-04-16", "a\nb-2026-04-17"),
        ("DATE", "ember-2026-04-16-2026-04-16", "ember-2026-04-16-2026-04-17"),
        # What is no date is a part of the name
        ("DATE", "ember-2026-13-99", "ember-2026-13-99-2026-04-17"),
        ("DATE", "ember-2026-02-29", "ember-2026-02-29-2026-04-17"),
        ("DATE", "ember-0000-01-01", "ember-0000-01-01-2026-04-17"),
        ("DATE", "ember-2026-04-16\n", "ember-2026-04-16\n-2026-04-17"),
        ("DATE", "2026-04-16", "2026-04-16-2026-04-17"),
        ("DATE", "ember-2026-4-16", "ember-2026-4-16-2026-04-17"),
        ("DATE", "ember 2026-04-16", "ember 2026-04-16-2026-04-17"),
        ("DATE", "ember-2026-04-16 08:15:30", "ember-2026-04-16 08:15:30-2026-04-17"),
        # And the same with a timestamp
        ("TIMESTAMP", "ember", "ember-2026-04-17 08:15:30"),
        ("TIMESTAMP", "ember-2026-04-17 08:15:29", "ember-2026-04-17 08:15:30"),
        ("TIMESTAMP", "ember-2026-04-17 08:15:30", "ember-2026-04-17 08:15:30_1"),
        ("TIMESTAMP", "ember-2026-04-17 08:15:30_1", "ember-2026-04-17 08:15:30_2"),
        ("TIMESTAMP", "ember-2026-04-17 08:15:29_3", "ember-2026-04-17 08:15:30"),
        ("TIMESTAMP", "ember-2026-04-17 24:15:29", "ember-2026-04-17 24:15:29-2026-04-17 08:15:30"),
        ("TIMESTAMP", "ember-2026-04-17", "ember-2026-04-17-2026-04-17 08:15:30"),
    ],
)
def test_the_strategies(naming: CloneNaming, name: str, clone: str):
    """Each strategy ends the name as CONTRACT.md 2.7 says."""
    assert clone_name(name, naming, NOW) == clone


@pytest.mark.parametrize("naming", ["DATE", "TIMESTAMP"])
def test_dates_are_in_utc(naming: CloneNaming):
    """Whatever the zone in which the moment is given."""
    there = NOW.astimezone(timezone(timedelta(hours=-9)))
    assert clone_name("ember", naming, there) == clone_name("ember", naming, NOW)


@pytest.mark.parametrize(
    ("naming", "ending"),
    [("COUNTER", "_1"), ("DATE", f"-{TODAY}"), ("TIMESTAMP", f"-{THIS_SECOND}")],
)
def test_the_stem_of_a_long_name_is_cut(naming: CloneNaming, ending: str):
    """The ending is there whole, and what is before it is as long as may be."""
    clone = clone_name("x" * NAME_LENGTH, naming, NOW)
    assert clone == "x" * (NAME_LENGTH - len(ending)) + ending


@pytest.mark.parametrize(("naming", "stamp"), [("DATE", TODAY), ("TIMESTAMP", THIS_SECOND)])
def test_counting_does_not_cut_a_date(naming: CloneNaming, stamp: str):
    """Counted behind a date, a long name is cut before the date."""
    stem = "x" * (NAME_LENGTH - len(f"-{stamp}"))
    assert clone_name(f"{stem}-{stamp}", naming, NOW) == f"{stem[:-2]}-{stamp}_1"


@pytest.mark.parametrize("naming", ["COUNTER", "DATE", "TIMESTAMP"])
@pytest.mark.parametrize("digits", range(225, NAME_LENGTH))
def test_a_counter_that_is_too_long_is_not_raised(naming: CloneNaming, digits: int):
    """However many nines there are, the name gets its ending and keeps its length."""
    name = f"_{'9' * digits}"
    clone = clone_name(name, naming, NOW)
    assert len(clone) <= NAME_LENGTH
    assert clone != name
    dated = clone_name(clone, "DATE", NOW)
    assert f"-{TODAY}" in dated
    assert len(dated) <= NAME_LENGTH


def test_thousands_of_digits():
    """Python reads no number of more than 4300 digits; nobody asks it to."""
    assert clone_name(f"x_{'9' * 10_000}", "COUNTER", NOW).endswith("_1")


MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - st.just gives the zone
NAMINGS = st.sampled_from(["NONE", "COUNTER", "DATE", "TIMESTAMP"])
ENDINGS = st.one_of(
    st.just(""),
    st.from_regex(r"_[0-9]{1,260}", fullmatch=True),
    MOMENTS.map(lambda at: f"-{at:%Y-%m-%d}"),
    MOMENTS.map(lambda at: f"-{at:%Y-%m-%d %H:%M:%S}"),
    st.just(f"-{TODAY}"),
    st.just(f"-{THIS_SECOND}"),
)
NAMES = st.tuples(st.text(max_size=NAME_LENGTH), ENDINGS, ENDINGS).map(
    lambda parts: "".join(parts)[-NAME_LENGTH:]
)
SHORT_NAMES = NAMES.map(lambda name: name[-200:])


@given(NAMES, NAMINGS, MOMENTS)
def test_a_clones_name_is_always_valid(name: str, naming: CloneNaming, now: datetime):
    """Of at most as many characters as names may have, and cloned it gives another such name."""
    clone = clone_name(name, naming, now)
    assert len(clone) <= NAME_LENGTH
    assert len(clone_name(clone, naming, now)) <= NAME_LENGTH


@given(NAMES, MOMENTS)
def test_none_changes_nothing(name: str, now: datetime):
    """The clone is called like its source."""
    assert clone_name(name, "NONE", now) == name


@given(NAMES, st.sampled_from(["COUNTER", "DATE", "TIMESTAMP"]), MOMENTS)
def test_no_clone_is_called_like_its_source(name: str, naming: CloneNaming, now: datetime):
    """Nor like the source's source, if one is cloned from the other again and again."""
    names = [name]
    for _ in range(12):
        names.append(clone_name(names[-1], naming, now))
    assert len(set(names)) == len(names)


@given(SHORT_NAMES, st.sampled_from(["COUNTER", "DATE", "TIMESTAMP"]), MOMENTS)
def test_clones_of_clones_count_on(name: str, naming: CloneNaming, now: datetime):
    """Within a second, each number is one more than the last, behind the same words."""
    first = clone_name(clone_name(name, naming, now), naming, now)
    names = [first]
    for _ in range(12):
        names.append(clone_name(names[-1], naming, now))
    split = [each.rpartition("_") for each in names]
    assert len({stem for stem, _, _ in split}) == 1
    numbers = [int(number) for _, _, number in split]
    assert all(later == earlier + 1 for earlier, later in pairwise(numbers))


@given(SHORT_NAMES, st.sampled_from(["DATE", "TIMESTAMP"]), st.lists(MOMENTS, min_size=1))
def test_only_the_last_date_is_kept(name: str, naming: CloneNaming, moments: list[datetime]):
    """However often it was dated and counted, the name has one date behind its first words."""
    clone = f"{name}."
    for now in moments:
        clone = clone_name(clone_name(clone, naming, now), naming, now)
    last = moments[-1]
    stamp = f"{last:%Y-%m-%d}" if naming == "DATE" else f"{last:%Y-%m-%d %H:%M:%S}"
    assert re.fullmatch(rf"{re.escape(name)}\.-{stamp}_[0-9]+", clone)


@given(st.text(max_size=NAME_LENGTH), NAMINGS, MOMENTS)
def test_the_stem_is_kept(name: str, naming: CloneNaming, now: datetime):
    """A name that ends in no number and no date is kept, as far as there is room."""
    clone = clone_name(f"{name}."[-NAME_LENGTH:], naming, now)
    stem = re.sub(r"(_[0-9]+|-[-0-9 :]+)\Z", "", clone)
    assert f"{name}."[-NAME_LENGTH:].startswith(stem)
    assert len(stem) >= min(len(name) + 1, NAME_LENGTH - len("-2026-04-17 08:15:30"))
