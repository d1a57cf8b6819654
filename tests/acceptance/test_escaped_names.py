r"""Filters by any name at all, over HTTP: tests/contract/CONTRACT.md 1.2.

`\,` is a comma that is part of a name.
"""

import re
from collections import defaultdict

from hypothesis import given
from hypothesis.strategies import characters, lists, one_of, sampled_from, text

from tests.acceptance.client import Api
from tests.acceptance.running import Machine

SERVER = {"cpu": 1000, "mem": 512 * 1024**2, "vnc_password": "spoon"}
NAMES = text(
    one_of(sampled_from(",\\ %&=+_*a"), characters(codec="utf-8", exclude_characters="\0")),
    max_size=12,
)


def escaped(name: str, *, last: bool) -> str:
    """The name as an alternative of a filter; a backslash only counts before a comma."""
    commas = re.sub(r"(\\*),", r"\1\1\\,", name)
    if last:
        return commas
    return re.sub(r"(\\+)$", r"\1\1", commas)


def found(api: Api, *names: str) -> set[str]:
    """The uuids of the servers that the filter by these names finds."""
    said = [escaped(name, last=False) for name in names[:-1]]
    said.append(escaped(names[-1], last=True))
    answer = api.call("GET", "/servers/", params={"name": ",".join(said), "limit": 0})
    assert answer.status_code == 200, answer.text
    return {each["uuid"] for each in answer.json()["objects"]}


def test_a_name_finds_exactly_what_is_called_so(machine: Machine) -> None:
    """Whatever a thing is called, its escaped name finds just that, alone or in a list."""
    api = machine.start().api
    called: dict[str, set[str]] = defaultdict(set)

    @given(lists(NAMES, min_size=1, max_size=3))
    def check(names: list[str]) -> None:
        for name in names:
            body = {**SERVER, "name": name}
            (made,) = api.post("/servers/", body, status=201)["objects"]
            assert made["name"] == name
            called[name].add(made["uuid"])
            assert found(api, name) == called[name]
        assert found(api, *names) == set().union(*(called[name] for name in names))

    check()
