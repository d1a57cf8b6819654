"""What is told next, and how often a tree of jobs is shown."""

from hypothesis import given
from hypothesis import strategies as st

from projections.feed.pacing import PER_JOB_S, Backlog, Item, Pacing


def drive(uuid: str) -> Item:
    return Item("drive", uuid)


def test_a_thing_waits_once() -> None:
    """However often it changes meanwhile."""
    backlog = Backlog()
    for uuid in "abab":
        backlog.add("me", drive(uuid))
    assert backlog.take(9) == ("me", [drive("a"), drive("b")])
    assert backlog.take(9) is None
    backlog.add("me", drive("a"))
    assert backlog.take(9) == ("me", [drive("a")])


def test_accounts_take_turns() -> None:
    """One with much to be told does not keep another waiting."""
    backlog = Backlog()
    for uuid in "abc":
        backlog.add("me", drive(uuid))
    backlog.add("you", drive("x"))
    turns = [backlog.take(2) for _ in range(4)]
    assert turns == [
        ("me", [drive("a"), drive("b")]),
        ("you", [drive("x")]),
        ("me", [drive("c")]),
        None,
    ]


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.integers(0, 9))), st.integers(1, 5))
def test_nothing_is_lost_and_nothing_comes_twice(added: list[tuple[str, int]], most: int) -> None:
    """Whatever is added is taken once, at most so many at a time."""
    backlog = Backlog()
    for account, number in added:
        backlog.add(account, drive(str(number)))
    taken: list[tuple[str, Item]] = []
    while (turn := backlog.take(most)) is not None:
        account, items = turn
        assert 0 < len(items) <= most
        taken += [(account, item) for item in items]
    assert sorted(taken) == sorted({(account, drive(str(number))) for account, number in added})


def test_progress_below_shows_a_job_once_a_second() -> None:
    """At once the first time; what comes sooner than a second after it is shown then."""
    pacing = Pacing(1.0)
    assert pacing.may_show("root", "me", 10.0, progress_only=True)
    pacing.note_shown("root", 3, 10.0)
    assert not pacing.may_show("root", "me", 10.5, progress_only=True)
    assert not pacing.may_show("root", "me", 10.9, progress_only=True)
    assert pacing.next_due() == 11.0
    assert pacing.take_due(10.99) == []
    assert pacing.take_due(11.0) == [("me", "root")]
    assert pacing.take_due(11.0) == []
    assert pacing.next_due() is None


def test_an_end_below_shows_a_small_tree_at_once() -> None:
    """And one of a thousand jobs after a second: the work for its frames is bounded."""
    pacing = Pacing(1.0)
    for jobs, wait_s in ((4, 4 * PER_JOB_S), (5_000, 1.0)):
        pacing.note_shown("root", jobs, 10.0)
        early, due = 10.0 + wait_s * 0.9, 10.0 + wait_s
        assert not pacing.may_show("root", "me", early, progress_only=False)
        assert pacing.next_due() == due
        assert pacing.may_show("root", "me", due, progress_only=False)


def test_an_end_does_not_wait_for_progress() -> None:
    """What waits is due when the most urgent of it is."""
    pacing = Pacing(1.0)
    pacing.note_shown("root", 100, 10.0)
    pacing.may_show("root", "me", 10.05, progress_only=True)
    pacing.may_show("root", "me", 10.06, progress_only=False)
    pacing.may_show("root", "me", 10.07, progress_only=True)
    assert pacing.next_due() == 10.1


def test_what_waits_is_told_by_any_frame() -> None:
    """A frame that is sent for another reason shows what is below, too."""
    pacing = Pacing(1.0)
    pacing.note_shown("root", 3, 10.0)
    pacing.may_show("root", "me", 10.5, progress_only=True)
    pacing.note_shown("root", 3, 10.6)
    assert pacing.take_due(11.5) == []


def test_what_was_shown_long_ago_is_forgotten() -> None:
    """Nothing is kept for jobs that are over."""
    pacing = Pacing(1.0)
    for number in range(100):
        pacing.note_shown(str(number), 2, 10.0 + number / 100)
    pacing.note_shown("0", 2, 11.5)
    pacing.take_due(11.5)
    assert set(pacing._last) == {str(number) for number in range(51, 100)} | {"0"}
