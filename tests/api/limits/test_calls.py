"""How often tokens and accounts may do what, and how many of their requests may wait."""

from contextlib import ExitStack

import pytest

from api.accounts.grants import Grant, JobClaim
from api.http.permissions.call_rates import Calls
from api.service.admission import Admission, TooMuch
from api.service.limits import Limits
from api.service.request_rates import CallRates
from tests.accounts.clocks import Clock
from tests.api.calling import ALICE, BOB


def calls(clock: Clock, **limits: int) -> Calls:
    table = Limits(**limits)
    return Calls(CallRates(table, clock), Admission(table), table.long_polls_per_token)


def few(clock: Clock, *, together: int = 2) -> Calls:
    return calls(
        clock, registrations_per_minute=60, registrations_burst=10, together_per_account=together
    )


def test_many_at_once_count_each() -> None:
    """And then wait as long as they would have one by one."""
    clock = Clock()
    counted, grant = few(clock), Grant(ALICE, "t")
    counted.count(grant, "registrations", 8)
    with pytest.raises(TooMuch) as refused:
        counted.count(grant, "registrations", 5)
    assert (refused.value.resource, refused.value.retry_after_s) == ("registrations", 3)
    counted.count(grant, "registrations", 2)
    counted.count(grant, "labels", 5)
    clock.s += 3
    counted.count(grant, "registrations", 3)


def test_more_than_a_burst_is_let_in_after_a_pause() -> None:
    clock = Clock()
    counted, grant = few(clock), Grant(ALICE, "t")
    counted.count(grant, "registrations", 1_000)
    with pytest.raises(TooMuch):
        counted.count(grant, "registrations", 1)
    clock.s += 10
    counted.count(grant, "registrations", 10)


def test_tokens_share_what_their_account_has() -> None:
    """What it does without a token is done by one more; other accounts have their own."""
    counted = few(Clock())
    for token in ("a", None):
        counted.count(Grant(ALICE, token), "registrations", 10)
    for token in ("a", None, "b"):
        with pytest.raises(TooMuch):
            counted.count(Grant(ALICE, token), "registrations", 1)
    counted.count(Grant(BOB, "c"), "registrations", 10)


def test_with_0_nothing_is_limited() -> None:
    unlimited = calls(Clock(), registrations_per_minute=0, long_polls_per_token=0)
    with ExitStack() as stack:
        for _ in range(200):
            unlimited.count(Grant(ALICE, "t"), "registrations", 1_000)
            stack.enter_context(unlimited.polling(Grant(ALICE, "t")))


def test_so_many_requests_of_a_token_wait() -> None:
    """Another token, a job's own one, and the account itself are not concerned; each ends once."""
    counted, claim = calls(Clock(), long_polls_per_token=2), JobClaim("j", 1, "00")
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(counted.polling(Grant(ALICE, "t")))
        with pytest.raises(TooMuch, match="2 requests"), counted.polling(Grant(ALICE, "t")):
            pass
        for other in (Grant(ALICE, "u"), Grant(ALICE), Grant(ALICE, "t", job=claim)):
            stack.enter_context(counted.polling(other))
    for _ in range(3):
        with counted.polling(Grant(ALICE, "t")):
            pass
    assert not counted._polls
