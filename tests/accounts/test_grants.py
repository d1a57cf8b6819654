"""What a token may register and reach, by its source, restrictors and job. Pure."""

from typing import Any

import pytest
from msgspec.structs import replace

from api.accounts.account import Account
from api.accounts.grants import Grant, JobClaim, Restrictors, ScopeMissing, WrongRestrictor
from api.accounts.scopes import Scope
from ledger.domain.events.producers import JobRegistered
from tests.support.producing import registered
from tests.support.world import ME

ACCOUNT = Account(ME, "me@example.test", "user")
SCOPES: frozenset[Scope] = frozenset({"jobs:register", "jobs:report", "jobs:read", "jobs:child"})


def grant(*restrictors: str, source: str | None = "//nas", **given: Any) -> Grant:
    return Grant(
        ACCOUNT,
        "t",
        given.pop("scopes", SCOPES),
        scoped=True,
        restrictors=Restrictors.parse(restrictors),
        source=source,
        **given,
    )


def said(source: str = "//nas", series: str | None = None, **labels: str) -> JobRegistered:
    return replace(registered(source=source), series=series, labels=labels)


@pytest.mark.parametrize("source", ["//nas", "//nas/cron", "//nas/cron/daily"])
def test_a_source_below_the_tokens_own_is_kept(source: str) -> None:
    assert grant().restrict(said(source)).source == source


@pytest.mark.parametrize("source", ["//nasty", "//na", "/", "nas", "//other/nas", "//nas2/x"])
def test_another_source_is_refused(source: str) -> None:
    with pytest.raises(ScopeMissing, match="//nas"):
        grant().restrict(said(source))


def test_a_source_that_is_not_said_is_the_tokens() -> None:
    assert grant().restrict(said("")).source == "//nas"


def test_labels_are_forced() -> None:
    """They are set if nothing is said, and cannot be set otherwise."""
    only = grant("labels.env=prod")
    assert only.restrict(said(team="a")).labels == {"env": "prod", "team": "a"}
    assert only.restrict(said(env="prod")).labels == {"env": "prod"}
    with pytest.raises(ScopeMissing):
        only.restrict(said(env="test"))


@pytest.mark.parametrize("changed", [(("env",), ()), ((), ("env",))])
def test_a_forced_label_is_never_changed(changed: tuple[tuple[str, ...], tuple[str, ...]]) -> None:
    with pytest.raises(ScopeMissing, match="env"):
        grant("labels.env=prod").check_labels(*changed)
    grant("labels.env=prod").check_labels(("team",), ("other",))


@pytest.mark.parametrize(
    ("restrictor", "given", "registers"),
    [
        ("series=nas/*", "nas/photos", "nas/photos"),
        ("series=nas/*", "nasty", None),
        ("series=nas/*", None, None),
        ("series=nas", None, "nas"),
        ("series=nas", "nas", "nas"),
        ("series=nas", "nas/x", None),
        ("series=*", None, None),
    ],
)
def test_a_series_is_forced(restrictor: str, given: str | None, registers: str | None) -> None:
    """Without a `*` there is only one, which need not be said."""
    only = grant(restrictor)
    if registers is None and restrictor != "series=*":
        with pytest.raises(ScopeMissing):
            only.restrict(said(series=given))
    else:
        assert only.restrict(said(series=given)).series == registers


def test_a_parent_takes_a_scope() -> None:
    with pytest.raises(ScopeMissing, match="jobs:child"):
        grant(scopes=SCOPES - {"jobs:child"}).restrict(said(), "parent")
    grant().restrict(said(), "parent")


def test_the_token_of_a_job_registers_below_it_only() -> None:
    own = grant(job=JobClaim("j", 1, "00"))
    own.restrict(said(), "j")
    for parent in (None, "k"):
        with pytest.raises(ScopeMissing, match="below job j"):
            own.restrict(said(), parent)


@pytest.mark.parametrize(
    ("restrictors", "scope", "reached"),
    [
        ((), "jobs:read", [True, True, True]),
        ((), "jobs:report", [True, False, False]),
        (("labels.env=prod",), "jobs:read", [True, False, False]),
        (("labels.env=prod",), "jobs:report", [True, False, False]),
        (("series=nas/*",), "jobs:read", [True, True, False]),
        (("max_running=5",), "jobs:read", [True, True, True]),
    ],
)
def test_which_jobs_are_reached(
    restrictors: tuple[str, ...], scope: Scope, reached: list[bool]
) -> None:
    """By what was registered: one of its own, one of another source, and a clone."""
    jobs = [said("//nas/x", "nas/a", env="prod"), said("//other", "nas/b"), None]
    assert [grant(*restrictors).reaches(job, scope) for job in jobs] == reached


@pytest.mark.parametrize(
    "text",
    [
        *("", "series", "series=", "series=a*b", "labels.=x", "labels.env=a b", "max_running=-1"),
        *("max_running=x", "max_running=99999999", "owner=me", "series=a\n"),
    ],
)
def test_what_is_no_restrictor(text: str) -> None:
    with pytest.raises(WrongRestrictor):
        Restrictors.parse([text])


def test_nothing_is_restricted_twice() -> None:
    for texts in (["series=a", "series=b"], ["labels.a=1", "labels.a=2"], ["max_running=1"] * 2):
        with pytest.raises(WrongRestrictor):
            Restrictors.parse(texts)


def test_restrictors_are_told_as_they_were_given() -> None:
    texts = ("series=nas/*", "labels.env=prod", "labels.team=a", "max_running=50")
    assert Restrictors.parse(texts).texts() == texts


@pytest.mark.parametrize(
    ("own", "wanted", "found"),
    [
        (["series=nas/*"], [], ("series=nas/*",)),
        (["series=nas/*"], ["series=nas/photos/*"], ("series=nas/photos/*",)),
        (["series=nas/*"], ["series=nas/a"], ("series=nas/a",)),
        (["series=nas/*"], ["series=*"], None),
        (["series=nas"], ["series=nas/*"], None),
        (["labels.env=prod"], ["labels.team=a"], ("labels.env=prod", "labels.team=a")),
        (["labels.env=prod"], ["labels.env=test"], None),
        (["max_running=5"], ["max_running=6"], None),
        (["max_running=5"], ["max_running=4"], ("max_running=4",)),
        ([], ["max_running=4"], ("max_running=4",)),
    ],
)
def test_restrictors_only_become_narrower(
    own: list[str], wanted: list[str], found: tuple[str, ...] | None
) -> None:
    """What is not asked for is inherited; what would be wider is refused."""
    if found is None:
        with pytest.raises(ScopeMissing, match="wider"):
            Restrictors.parse(own).narrowed(Restrictors.parse(wanted))
    else:
        assert Restrictors.parse(own).narrowed(Restrictors.parse(wanted)).texts() == found
