"""What cannot be taken of a change: 400 with the field at fault, and nothing happens."""

from typing import Any

import pytest

from api.http.requests import ALTERNATIVES_LIMIT, CONDITIONS_LIMIT, PARTS_LIMIT
from ledger.store.seam import Batch, Conflict
from ledger.store.writer import CONFLICT_LIMIT
from tests.api.bad_values import CLONES, LONG, SERVERS
from tests.api.calling import DRIVE, SERVER, SIZE, UNKNOWN, Answer, Api
from tests.contract.following import Json, shown
from tests.harness.cases import in_turn

Bad = list[tuple[Json, str]]

REFERENCES: list[Any] = ["x", {}, 5, [5], [None], ["nonsense"], [{}], [{"uuid": 5}], [[]]]
TAGS: Bad = [({"tags": tags}, "tags") for tags in REFERENCES]
RESIZES: Bad = [
    ({"size": size}, "size")
    for size in (None, True, 1.5, "1e9", "", "-1", [], {}, 0, -1, 10**30, SIZE - 16384)
]
FIXED = ("storage_type",)
"""What PUT passes over, whatever it is."""


async def assert_refused(api: Api, path: str, bad: Bad) -> None:
    """By PUT, one after the other; what the path shows is never another."""
    before = await shown(api, path)
    for said, point in bad:
        answer = await api.put(path, said)
        assert answer.error == (400, "validation", point), said
        answer = await api.put(path, {**before, "name": "new", **said})
        assert answer.error == (400, "validation", point), said
    assert await shown(api, path) == before


async def new_tag(api: Api, **said: Any) -> Answer:
    return await api.post("/tags/", {"name": "t", **said})


# Bodies


async def test_bad_changes_of_a_drive(api: Api):
    """A PUT with a value that cannot be taken is refused for that field, alone or among others."""
    bad = [(said, point) for said, point in CLONES if point not in FIXED]
    await assert_refused(api, f"/drives/{await api.drive(size=2 * SIZE)}/", [*bad, *TAGS])


async def test_bad_changes_of_a_server(api: Api):
    """A PUT with a value that cannot be taken is refused for the outermost field."""
    bad = [(said, point) for said, point in SERVERS if None not in said.values()]
    await assert_refused(api, f"/servers/{await api.server()}/", [*bad, *TAGS])


BAD_TAGS: Bad = [
    ({"name": ""}, "name"),
    ({"name": 5}, "name"),
    ({"name": LONG}, "name"),
    ({"name": "a\0b"}, "name"),
    ({"meta": []}, "meta"),
    ({"meta": {"a": 1}}, "meta"),
    *(({"resources": resources}, "resources") for resources in REFERENCES),
]


async def test_bad_tags(api: Api):
    """A tag that cannot be is refused for its field, when it is made and when it is changed."""
    tag = (await new_tag(api)).json["objects"][0]["resource_uri"]
    await assert_refused(api, tag, BAD_TAGS)
    for said, point in [*BAD_TAGS, ({"name": None}, "name")]:
        assert (await new_tag(api, **said)).error == (400, "validation", point), said
    assert (await shown(api, "/tags/"))["meta"]["total_count"] == 1


async def test_bad_changes_of_a_profile(api: Api):
    """A naming strategy that there is not, or a text that is none, is a 400 for its field."""
    bad: Bad = [
        ({"clone_naming": "NAMES"}, "clone_naming"),
        ({"clone_naming": "none"}, "clone_naming"),
        ({"clone_naming": ""}, "clone_naming"),
        ({"clone_naming": 5}, "clone_naming"),
        ({"clone_naming": ["NONE"]}, "clone_naming"),
        ({"company": 5}, "company"),
        ({"company": LONG}, "company"),
        ({"address": "a\0b"}, "address"),
        ({"mailing_list": "yes"}, "mailing_list"),
        ({"meta": []}, "meta"),
        ({"meta": {"a": None}}, "meta"),
    ]
    await assert_refused(api, "/profile/", bad)


async def test_bad_resizes(api: Api):
    """A resize needs a size that can be, and not a smaller one."""
    drive = await api.drive()
    before = await shown(api, f"/drives/{drive}/")
    for said, point in [*RESIZES, ({}, "size")]:
        answer = await api.post(f"/drives/{drive}/action/?do=resize", said)
        assert answer.error == (400, "validation", point), said
    assert await shown(api, f"/drives/{drive}/") == before


@in_turn("body", [b"{", b"[]", b"[{}]", b'"x"', b"5", b"true", b'{"name": "\xff"}'])
async def test_a_change_takes_an_object(api: Api, body: bytes):
    """The body of a PUT or of an action is one JSON object; else it is a 400 without a point."""
    drive, server = await api.drive(), await api.server()
    tag = (await new_tag(api)).json["objects"][0]["resource_uri"]
    headers = {"Content-Type": "application/json"}
    for method, path in (
        ("PUT", f"/drives/{drive}/"),
        ("PUT", f"/servers/{server}/"),
        ("PUT", tag),
        ("PUT", "/profile/"),
        ("POST", f"/drives/{drive}/action/?do=resize"),
        ("POST", f"/servers/{server}/action/?do=start"),
        ("POST", f"/servers/{server}/action/?do=clone"),
    ):
        answer = await api.call(method, path, data=body, headers=headers)
        assert answer.error == (400, "validation", None), path
    assert (await shown(api, f"/servers/{server}/"))["status"] == "stopped"


@in_turn("kind", ["drives", "servers", "jobs"])
@in_turn("action", ["start", "resize", "clone", "cancel", "open", "", "CLONE"])
async def test_an_action_of_another_kind(api: Api, kind: str, action: str):
    """An action that this kind of thing has not is a 400 for `do`, before all else."""
    known = {
        "drives": {"clone", "resize"},
        "servers": {"clone", "start"},
        "jobs": {"cancel"},
    }[kind]
    answer = await api.post(f"/{kind}/{UNKNOWN}/action/?do={action}")
    if action in known:
        assert answer.status in {400, 404}
    else:
        assert answer.error == (400, "validation", "do")


# Queries

LISTS = ("/drives/", "/drives/detail/", "/servers/", "/servers/detail/", "/tags/")
PAGED = (*LISTS, "/libdrives/", "/libdrives/detail/", "/logs/", "/tags/{tag}/drives/detail/")


@in_turn("query", ["limit=-1", "limit=x", "offset=1.5", "offset=", "limit=%FF"])
async def test_bad_pages_of_every_list(api: Api, query: str):
    """A limit or offset that is no number from 0 up is a 400 with its name as the point."""
    tag = (await new_tag(api)).json["objects"][0]["uuid"]
    for path in PAGED:
        answer = await api.get(f"{path.format(tag=tag)}?{query}")
        assert answer.error == (400, "validation", query.partition("=")[0]), path


@in_turn("value", ["%00", "a,b%00", "," * ALTERNATIVES_LIMIT])
@in_turn("name", ["uuid", "name", "name__contains"])
async def test_bad_filters(api: Api, name: str, value: str):
    """A filter with a NUL, or of too many alternatives, is a 400 with its name."""
    for path in LISTS:
        answer = await api.get(f"{path}?{name}=good&{name}={value}")
        assert answer.error == (400, "validation", name), path


async def test_too_many_filters(api: Api):
    """A filter may be repeated often, with many alternatives each time, but not without end."""
    many = "uuid=" + "," * (ALTERNATIVES_LIMIT - 1)
    for path in LISTS:
        query = f"{many}&" + "name=&" * (CONDITIONS_LIMIT - 1)
        assert (await api.get(f"{path}?{query}")).status == 200
        answer = await api.get(f"{path}?{query}&name=")
        assert answer.error == (400, "validation", "name")
        assert (await api.get(f"{path}?{'name=&' * 1300}")).error == (400, "validation", "name")


async def test_too_many_parts_of_names(api: Api):
    """All names are read for each: a request may look for five, however they are split up."""
    assert PARTS_LIMIT == 5
    few, many = (",".join("a" * count) for count in (PARTS_LIMIT, PARTS_LIMIT + 1))
    filters = [(path, "name__contains") for path in LISTS] + [("/libdrives/", "name__icontains")]
    for path, name in filters:
        assert (await api.get(f"{path}?{name}={few}")).status == 200
        for query in (many, f"{few}&{name}=b"):
            answer = await api.get(f"{path}?{name}={query}")
            assert answer.error == (400, "validation", name)
            assert "looks for 5 parts at the most" in answer.json[0]["error_message"]


@in_turn("name", ["tag", "tag__name"])
async def test_bad_filters_by_tag(api: Api, name: str):
    """The same holds for tags."""
    for path in LISTS[:4]:
        assert (await api.get(f"{path}?{name}=%00")).error == (400, "validation", name)


# A lost race


async def test_a_lost_race_changes_nothing(api: Api, monkeypatch: pytest.MonkeyPatch):
    """Where others are quicker time after time it is a 503 concurrency; the next one works."""
    drive, server = await api.drive(), await api.server()
    before = [await shown(api, path) for path in ("/drives/detail/", "/servers/detail/")]
    tries = []

    def lose(batch: Batch) -> int:
        tries.append(batch)
        raise Conflict

    with monkeypatch.context() as others:
        others.setattr(api.service.ledger._store, "append", lose)
        for method, path, body in (
            ("POST", "/drives/", DRIVE),
            ("POST", "/servers/", SERVER),
            ("POST", f"/drives/{drive}/action/?do=clone", {}),
            ("POST", f"/drives/{drive}/action/?do=resize", {"size": 2 * SIZE}),
            ("PUT", f"/drives/{drive}/", {"name": "new"}),
            ("PUT", f"/servers/{server}/", {"name": "new"}),
            ("POST", f"/servers/{server}/action/?do=start", {}),
            ("DELETE", f"/drives/{drive}/", None),
            ("DELETE", f"/servers/{server}/", None),
        ):
            tries.clear()
            answer = await api.call(method, path, json=body)
            assert answer.error == (503, "concurrency", None)
            assert len(tries) > CONFLICT_LIMIT / 2
    assert [await shown(api, path) for path in ("/drives/detail/", "/servers/detail/")] == before
    assert (await api.put(f"/drives/{drive}/", {"name": "new"})).status == 200
