"""Whose turn it is: accounts share threads and requests fairly, whatever one of them does."""

from collections import Counter, deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from api.service.fair_queue import FairQueue
from api.service.lanes import Lanes
from api.service.request_rates import REMEMBERED, RequestRates

ALICE, BOB, CAROL = "alice", "bob", "carol"
accounts = st.sampled_from([ALICE, BOB, CAROL])

# The queue


@given(st.lists(accounts, max_size=30))
def test_accounts_take_turns_however_much_one_of_them_waits_for(asked: list[str]) -> None:
    """Between two turns of an account, each other that waits has one."""
    queue = FairQueue[int]()
    left = Counter(asked)
    for number, account in enumerate(asked):
        queue.add(account, number)
    turns: list[str] = []
    oldest: dict[str, int] = {}
    while (found := queue.next(lambda _: True)) is not None:
        account, number = found
        assert number > oldest.get(account, -1), "the one that waited longest comes first"
        oldest[account] = number
        since = turns[len(turns) - turns[::-1].index(account) :] if account in turns else turns
        if account in turns:
            assert {other for other in left if left[other] and other != account} <= set(since)
        turns.append(account)
        left[account] -= 1
    assert Counter(turns) == Counter(asked)
    assert len(queue) == 0


def test_who_may_not_go_on_keeps_the_first_place_and_nobody_waiting() -> None:
    queue = FairQueue[int]()
    for number, account in enumerate((ALICE, BOB, BOB)):
        queue.add(account, number)
    assert queue.next(lambda account: account != ALICE) == (BOB, 1)
    assert queue.next(lambda account: account == CAROL) is None
    assert queue.next(lambda _: True) == (ALICE, 0)


def test_who_leaves_is_not_handed_out() -> None:
    """Also if it is no longer there."""
    queue = FairQueue[int]()
    queue.add(ALICE, 1)
    queue.add(ALICE, 2)
    queue.remove(ALICE, 1)
    queue.remove(ALICE, 1)
    queue.remove(BOB, 3)
    assert queue.next(lambda _: True) == (ALICE, 2)
    assert queue.next(lambda _: True) is None


# The lanes

THREADS, EACH = 4, 2


class LaneMachine(RuleBasedStateMachine):
    """Any order of asking, leaving and ending, against what was promised."""

    def __init__(self) -> None:
        super().__init__()
        self.lanes = Lanes[int](THREADS, EACH)
        self.waiting: dict[str, deque[int]] = {ALICE: deque(), BOB: deque(), CAROL: deque()}
        self.running: list[str] = []
        self.number = 0

    @rule(account=accounts)
    def ask(self, account: str) -> None:
        self.number += 1
        self.lanes.wait(account, self.number)
        self.waiting[account].append(self.number)
        self.hand_out()

    @precondition(lambda self: any(self.waiting.values()))
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        account = data.draw(st.sampled_from([each for each in self.waiting if self.waiting[each]]))
        turn = data.draw(st.sampled_from(sorted(self.waiting[account])))
        self.waiting[account].remove(turn)
        self.lanes.leave(account, turn)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        account = data.draw(st.sampled_from(sorted(self.running)))
        self.running.remove(account)
        self.lanes.end(account)
        self.hand_out()

    def hand_out(self) -> None:
        for account, turn in self.lanes.turns():
            assert self.waiting[account].popleft() == turn, "first come, first served"
            self.running.append(account)

    @invariant()
    def no_account_has_more_than_its_share(self) -> None:
        assert len(self.running) <= THREADS
        assert all(number <= EACH for number in Counter(self.running).values())

    @invariant()
    def nobody_waits_for_nothing(self) -> None:
        """A thread is idle only if all that wait run as many as they may."""
        assert self.lanes.waiting == sum(map(len, self.waiting.values()))
        if len(self.running) < THREADS:
            for account, turns in self.waiting.items():
                assert not turns or self.running.count(account) == EACH


LaneMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
test_lanes_are_shared_whatever_happens = LaneMachine.TestCase


def test_one_account_cannot_keep_another_waiting() -> None:
    """Forty-eight of one account are there first; the first of another runs at once."""
    lanes = Lanes[str](THREADS, EACH)
    for number in range(48):
        lanes.wait(ALICE, f"a{number}")
    assert [turn for _, turn in lanes.turns()] == ["a0", "a1"]
    lanes.wait(BOB, "b")
    assert list(lanes.turns()) == [(BOB, "b")]


def test_with_0_an_account_may_have_all_threads() -> None:
    lanes = Lanes[int](THREADS, 0)
    for number in range(9):
        lanes.wait(ALICE, number)
    assert len(list(lanes.turns())) == THREADS


# Requests


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


RATE, BURST = 10, 25


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(accounts, st.floats(0, 1)), max_size=150))
def test_no_account_makes_more_requests_than_it_may(steps: list[tuple[str, float]]) -> None:
    """In any span: what flows in, and one burst; and whoever is told to wait is then let in."""
    clock = Clock()
    rates = RequestRates(RATE, BURST, clock)
    admitted: dict[str, list[float]] = {ALICE: [], BOB: [], CAROL: []}
    for account, pause in steps:
        clock.now += pause * pause * pause
        wait = rates.admit(account)
        if wait:
            clock.now += wait + 1e-9
            assert rates.admit(account) == 0
        admitted[account].append(clock.now)
    for moments in admitted.values():
        for first, began in enumerate(moments):
            for last, ended in enumerate(moments[first:], first):
                assert last - first + 1 <= BURST + (ended - began) * RATE + 1e-3


def test_a_burst_is_let_in_and_no_more() -> None:
    """An account's burst does not count for another; and the rest comes at the rate."""
    clock = Clock()
    rates = RequestRates(RATE, BURST, clock)
    assert [rates.admit(ALICE) for _ in range(BURST)] == [0] * BURST
    assert rates.admit(ALICE) == pytest.approx(0.1)
    assert rates.admit(BOB) == 0
    clock.now = 1.0
    assert [rates.admit(ALICE) > 0 for _ in range(RATE + 1)] == [False] * RATE + [True]
    clock.now = 3_600.0
    assert [rates.admit(ALICE) > 0 for _ in range(BURST + 1)] == [False] * BURST + [True]


def test_with_0_there_is_no_rate() -> None:
    rates = RequestRates(0, BURST, Clock())
    assert not any(rates.admit(ALICE) for _ in range(1_000))
    assert len(rates) == 0


def test_quiet_accounts_are_forgotten_and_busy_ones_are_not() -> None:
    """However many there were, memory holds those of the last seconds."""
    clock = Clock()
    rates = RequestRates(RATE, BURST, clock)
    for number in range(REMEMBERED):
        rates.admit(f"quiet {number}")
    clock.now = 60.0
    for _ in range(BURST):
        rates.admit(ALICE)
    rates.admit(BOB)
    assert len(rates) == 2
    assert rates.admit(ALICE) > 0
