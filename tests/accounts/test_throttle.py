"""What guesses cost, and whom: `api.accounts.throttle` by itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.accounts import throttle as module
from api.accounts.limits import LoginLimits
from api.accounts.throttle import (
    ALLOWANCE_S,
    FAILING_S,
    TOKENS_S,
    Place,
    Rank,
    Throttle,
    TooManyAttempts,
)
from api.text.addresses import network_of
from tests.accounts.clocks import Clock

HOUR_S = 3600.0
GUESSER = Place("10.0.0.1", None)
HOME = Place("192.0.2.7", b"home")


@pytest.fixture
def throttle(clock: Clock) -> Throttle:
    return Throttle(clock, LoginLimits())


def fail(throttle: Throttle, place: Place, times: int = 1) -> None:
    for _ in range(times):
        throttle.note_wrong(place, throttle.admit(place))


def wait_of(throttle: Throttle, place: Place) -> int:
    """How long this place has to wait; 0 if it is admitted."""
    try:
        throttle.admit(place)
    except TooManyAttempts as error:
        return error.retry_after_s
    return 0


# Unknown places


def test_delays_grow(throttle: Throttle, clock: Clock) -> None:
    """Five wrong passwords are free; after each further one the address waits about twice as long.

    Failures fade meanwhile, so it is a little less.
    """
    fail(throttle, GUESSER, 5)
    waits = []
    for _ in range(20):
        fail(throttle, GUESSER)
        waits.append(wait_of(throttle, GUESSER))
        clock.s += waits[-1]
    assert waits[:7] == [2, 4, 8, 16, 31, 60, 109]
    assert max(waits) <= 900


def test_a_wait_is_no_longer_than_a_quarter_of_an_hour(throttle: Throttle) -> None:
    """However many were wrong, as when all were sent at once."""
    rank = throttle.admit(GUESSER)
    for _ in range(2_000):
        throttle.note_wrong(GUESSER, rank)
    assert wait_of(throttle, GUESSER) == 900


def test_an_address_gets_few_guesses(throttle: Throttle, clock: Clock) -> None:
    """22 in the first hour and 231 on the first day, if it guesses as soon as it may."""
    began = clock.s
    guesses: list[float] = []
    while clock.s - began < 24 * HOUR_S:
        fail(throttle, GUESSER)
        guesses.append(clock.s - began)
        clock.s += wait_of(throttle, GUESSER)
    assert sum(at < HOUR_S for at in guesses) == 22
    assert len(guesses) in range(225, 232)  # waits are told in whole seconds


def test_failures_of_an_address_count_over_all_accounts(throttle: Throttle) -> None:
    """An address is one guesser, at whichever accounts; a known place of one is not concerned."""
    fail(throttle, GUESSER, 6)
    assert wait_of(throttle, GUESSER) > 0
    assert wait_of(throttle, Place(GUESSER.network, b"another's home")) == 0


def test_a_success_does_not_clear_an_address(throttle: Throttle) -> None:
    """A guesser has an account of his own."""
    fail(throttle, GUESSER, 6)
    throttle.note_right(Place(GUESSER.network, None))
    throttle.note_right(Place(GUESSER.network, b"his own"))
    assert wait_of(throttle, GUESSER) > 0


def test_after_an_hour_an_address_is_new(throttle: Throttle, clock: Clock) -> None:
    """Until then it comes after those without failures, the more of them, the later."""
    other = Place("10.0.0.2", None)
    fail(throttle, GUESSER, 3)
    fail(throttle, other, 1)
    clock.s += FAILING_S - 1
    ranks = [throttle.admit(place) for place in (other, GUESSER)]
    assert [rank.place_class for rank in ranks] == ["failing", "failing"]
    assert ranks[0].failures < ranks[1].failures
    clock.s += 1
    assert throttle.admit(GUESSER) == Rank("new")
    fail(throttle, GUESSER)
    assert throttle.admit(GUESSER).failures == pytest.approx(2.5)


# Known places


def test_a_known_place_has_an_allowance_of_its_own(throttle: Throttle) -> None:
    """Ten wrong passwords, which do not count for its address; then it counts as unknown."""
    fail(throttle, HOME, 9)
    assert throttle.admit(HOME) == Rank("known")
    assert throttle.admit(Place(HOME.network, None)) == Rank("new")
    fail(throttle, HOME)
    assert throttle.admit(HOME) == Rank("new")
    fail(throttle, HOME, 6)
    assert wait_of(throttle, HOME) > 0


def test_the_allowance_is_of_five_minutes(throttle: Throttle, clock: Clock) -> None:
    """Who mistypes now and then stays known."""
    for _ in range(5):
        fail(throttle, HOME, 9)
        clock.s += ALLOWANCE_S
    assert throttle.admit(HOME) == Rank("known")


def test_a_spent_allowance_comes_back_with_the_next_success(
    throttle: Throttle, clock: Clock
) -> None:
    """And not with time."""
    fail(throttle, HOME, 10)
    clock.s += 24 * HOUR_S
    assert throttle.admit(HOME) == Rank("new")
    throttle.note_right(HOME)
    assert throttle.admit(HOME) == Rank("known")


# Tokens


def test_unknown_tokens_of_an_address(throttle: Throttle, clock: Clock) -> None:
    """A hundred in a minute; passwords and other addresses are not concerned."""
    for _ in range(100):
        throttle.note_unknown_token("10.0.0.1")
    clock.s += 20
    with pytest.raises(TooManyAttempts) as refused:
        throttle.note_unknown_token("10.0.0.1")
    assert refused.value.retry_after_s == TOKENS_S - 20
    throttle.note_unknown_token("10.0.0.2")
    assert throttle.admit(GUESSER) == Rank("new")
    clock.s += 40
    throttle.note_unknown_token("10.0.0.1")


# Addresses, limits, memory


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("unix:", "unix:"),
    ],
)
def test_what_an_address_counts_as(address: str, network: str) -> None:
    """An IPv4 address is itself; in IPv6 it is what one customer has."""
    assert network_of(address) == network


def test_limits_are_settings_and_0_is_none(clock: Clock) -> None:
    """Each can be changed or turned off."""
    off = LoginLimits(wrong_at_known_place=0, wrong_at_address=0, unknown_tokens=0)
    throttle = Throttle(clock, off)
    fail(throttle, HOME, 100)
    fail(throttle, GUESSER, 100)
    assert throttle.admit(HOME) == Rank("known")
    for _ in range(500):
        throttle.note_unknown_token("10.0.0.1")
    changed = Throttle(clock, LoginLimits(wrong_at_known_place=1, login_delay=10))
    fail(changed, HOME)
    assert changed.admit(HOME) == Rank("new")
    for _ in range(50):
        changed.note_wrong(GUESSER, Rank("new"))
    assert wait_of(changed, GUESSER) == 10


def test_memory_is_bounded(throttle: Throttle, monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed longest ago is forgotten first."""
    monkeypatch.setattr(module, "KEYS_MAX", 2)
    for name in ("a", "b", "a", "c"):
        fail(throttle, Place(name, None))
    ranks = [throttle.admit(Place(name, None)).place_class for name in "abc"]
    assert ranks == ["failing", "new", "failing"]


# Whatever others do

networks = st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3"])
known_as = st.sampled_from([None, b"theirs", b"his own"])
acts = st.lists(
    st.tuples(
        st.sampled_from(["guess", "success", "token"]),
        networks,
        known_as,
        st.floats(0, 2 * HOUR_S),
    ),
    max_size=60,
)


@given(acts)
def test_nobody_is_refused_because_of_others(acts: list[tuple[str, str, bytes | None, float]]):
    """Whatever comes from elsewhere, at whichever account, neither place loses anything by it.

    And no wait is longer than the longest.
    """
    clock = Clock()
    throttle = Throttle(clock, LoginLimits(wrong_at_known_place=2, wrong_at_address=1))
    for act, network, known, pause_s in acts:
        place = Place(network, known)
        if act == "token":
            throttle.note_unknown_token(network)
        elif act == "success":
            throttle.note_right(place)
        elif wait_of(throttle, place) == 0:
            fail(throttle, place)
        assert wait_of(throttle, place) <= 900
        clock.s += pause_s
        assert throttle.admit(HOME) == Rank("known")
        assert throttle.admit(Place("10.0.0.1", HOME.known_as)) == Rank("known")
        assert throttle.admit(Place("198.51.100.1", None)) == Rank("new")
