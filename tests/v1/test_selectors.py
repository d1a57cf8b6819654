"""Selectors: what they mean, and that all else is refused in words."""

import re

import pytest

from api.http.errors import BadRequest
from api.v1.selectors import read_selector
from projections.views.producers.pages import Requirement

PROD = Requirement("env", "in", ("prod",))


@pytest.mark.parametrize(
    ("text", "required"),
    [
        ("env=prod", [PROD]),
        ("env == prod", [PROD]),
        (" env\t=prod , team in (a,b)", [PROD, Requirement("team", "in", ("a", "b"))]),
        ("env in(prod)", [PROD]),
        ("env=", [Requirement("env", "in", ("",))]),
        ("env in (,a)", [Requirement("env", "in", ("", "a"))]),
        ("env=prod,team!=a", [PROD, Requirement("team", "notin", ("a",))]),
        ("env=prod,team notin (a, b)", [PROD, Requirement("team", "notin", ("a", "b"))]),
        ("env=prod,team", [PROD, Requirement("team", "exists")]),
        ("env=prod,team exists", [PROD, Requirement("team", "exists")]),
        (
            "in in (in),notin=exists",
            [
                Requirement("in", "in", ("in",)),
                Requirement("notin", "in", ("exists",)),
            ],
        ),
        ("example.test/env=a/b:c@d+e", [Requirement("example.test/env", "in", ("a/b:c@d+e",))]),
        ("a=1,a=2", [Requirement("a", "in", ("1",)), Requirement("a", "in", ("2",))]),
    ],
)
def test_what_selectors_mean(text: str, required: list[Requirement]) -> None:
    assert list(read_selector(text)) == required


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no key"),
        (",", "no key"),
        ("=prod", "no key"),
        ("env=prod,", "no key"),
        ("a b=c", "b cannot follow"),
        ("env=prod team=a", "comma is missing"),
        ("env(prod)", "cannot follow"),
        ("env in prod", "in ( and )"),
        ("env in (a", ") is missing"),
        ("env in (a=b)", ") is missing"),
        ("env='prod'", '"\'" cannot be'),
        ("env=" + "x" * 64, "no value"),
        ("a/b/c=d", "no key"),
        ("env!=prod", "at least one"),
        ("env", "at least one"),
        ("env notin (a),team exists", "at least one"),
        ("env in (" + ",".join(str(n) for n in range(33)) + ")", "at most 32 values"),
        (",".join(f"k{n}=v" for n in range(33)), "at most 32 requirements"),
        ("e=" + "," * 4_000, "at most 4000"),
    ],
)
def test_what_is_no_selector_is_refused(text: str, why: str) -> None:
    with pytest.raises(BadRequest, match=re.escape(why)) as refused:
        read_selector(text)
    assert refused.value.point == "select"
