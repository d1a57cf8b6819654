"""What an account, and all accounts together, may have of the service at one moment."""

import json
import random
from collections import Counter
from contextlib import ExitStack, suppress

import pytest

from api.http.errors import answer_to
from api.service.admission import RATES, RESOURCES, Admission, Resource, Taken, TooMuch
from api.service.limits import Limits

ALICE, BOB = "alice", "bob"


def holds_limits(used: Counter[tuple[str, Resource]], each: int, every: int) -> bool:
    totals: Counter[Resource] = Counter()
    for (_, resource), number in used.items():
        totals[resource] += number
    return all(number <= each for number in used.values()) and all(
        number <= every for number in totals.values()
    )


def limited(each: int, every: int) -> Limits:
    """The same limits for every resource."""
    names = {resource: resource.replace("-", "_") for resource in RESOURCES}
    whose = {"answer-bytes-without-login": "address"}
    return Limits(
        **{
            f"{name}_per_{whose.get(resource, 'account')}": each for resource, name in names.items()
        },
        **dict.fromkeys(names.values(), every),
    )


@pytest.mark.parametrize("resource", RESOURCES)
def test_an_account_has_as_much_as_it_may(resource: Resource) -> None:
    """One more is refused; another account is not; and what is given back may be taken again."""
    admission = Admission(limited(each=2, every=10))
    first = admission.take(ALICE, resource)
    admission.take(ALICE, resource)
    with pytest.raises(TooMuch) as refused:
        admission.take(ALICE, resource)
    assert (refused.value.resource, refused.value.limit) == (resource, 2)
    admission.take(BOB, resource)
    first.give_back()
    admission.take(ALICE, resource)


@pytest.mark.parametrize("resource", RESOURCES)
def test_all_together_have_as_much_as_the_service_has(resource: Resource) -> None:
    """However many accounts share it."""
    admission = Admission(limited(each=2, every=3))
    for account in ("alice", "bob", "carol"):
        admission.take(account, resource)
    with pytest.raises(TooMuch) as refused:
        admission.take("dave", resource)
    assert refused.value.limit == 3


def test_several_are_taken_whole_or_not_at_all() -> None:
    admission = Admission(limited(each=3, every=10))
    admission.take(ALICE, "uploads", 2)
    with pytest.raises(TooMuch):
        admission.take(ALICE, "uploads", 2)
    assert admission.used_by(ALICE, "uploads") == 2


def test_0_switches_a_limit_off() -> None:
    admission = Admission(limited(each=0, every=0))
    for _ in range(5_000):
        admission.take(ALICE, "websockets")


def test_a_block_gives_back_whatever_happens_in_it() -> None:
    """Once: who gives back earlier has not given twice."""
    admission = Admission(limited(each=1, every=1))
    with suppress(ZeroDivisionError), admission.take(ALICE, "downloads"):
        raise ZeroDivisionError
    assert admission.accounts == 0
    with admission.take(ALICE, "downloads") as taken:
        taken.give_back()
        admission.take(ALICE, "downloads")
    assert admission.used_by(ALICE, "downloads") == 1


def test_what_is_refused_is_counted_and_told() -> None:
    """As a 429 of the resource, with the time after which to try again, and what helps."""
    admission = Admission(limited(each=1, every=1))
    admission.take(ALICE, "websockets")
    with pytest.raises(TooMuch) as refused:
        admission.take(ALICE, "websockets")
    answer = answer_to(refused.value)
    assert isinstance(answer.body, bytes)
    (body,) = json.loads(answer.body)
    assert (answer.status, body["error_type"], body["error_point"]) == (429, "quota", None)
    assert answer.headers["Retry-After"] == str(refused.value.retry_after_s)
    assert body["error_message"] == (
        "the account has 1 websockets, and may have no more: close one; try again in 10 s"
    )
    assert dict(admission.used())["websockets"] == 1
    counts = {
        sample.labels["resource"]: sample.value
        for metric in admission.refused.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    }
    assert counts == {**dict.fromkeys((*RESOURCES, *RATES), 0), "websockets": 1}


def test_whatever_happens_the_limits_hold_and_idle_accounts_are_forgotten(seed: int) -> None:
    """Any order of taking and giving back, by many accounts."""
    each, every = 5, 20
    admission = Admission(limited(each=each, every=every))
    draw = random.Random(seed)  # noqa: S311 - nothing to do with secrets
    taken: list[tuple[str, Resource, int, Taken]] = []
    used: Counter[tuple[str, Resource]] = Counter()
    for _ in range(3_000):
        if taken and draw.random() < 0.4:
            account, resource, n, part = taken.pop(draw.randrange(len(taken)))
            part.give_back()
            used[account, resource] -= n
            continue
        account, resource = f"account {draw.randrange(8)}", draw.choice(RESOURCES)
        n = draw.randint(1, 3)
        wanted = used + Counter({(account, resource): n})
        if holds_limits(wanted, each, every):
            taken.append((account, resource, n, admission.take(account, resource, n)))
            used = wanted
        else:
            with pytest.raises(TooMuch):
                admission.take(account, resource, n)
        assert admission.accounts == len({account for (account, _), n in used.items() if n})
    with ExitStack() as stack:
        for *_, part in taken:
            stack.enter_context(part)
    assert admission.accounts == 0
    assert not any(number for _, number in admission.used())
