"""Bad input: it is answered with 400 and the field at fault, and changes nothing."""

import re
from typing import Any

from api.http.requests import BULK_LIMIT
from tests.api.bad_values import CLONES, DRIVES, SERVERS
from tests.api.calling import DRIVE, SERVER, Answer, Api
from tests.harness.cases import in_turn


async def assert_refused(api: Api, path: str, body: Any, point: str | None) -> None:
    assert (await api.post(path, body)).error == (400, "validation", point)
    for kind in ("drives", "servers"):
        assert (await api.get(f"/{kind}/")).json["meta"]["total_count"] == 0


def assert_in_our_words(answer: Answer) -> None:
    """A client need not know by which library bodies are read."""
    told = answer.json[0]["error_message"]
    assert not re.search(r"`|Expected|\[\.\.\.\]", told), told


async def test_drives_with_bad_values(api: Api):
    """A drive with a value that cannot be taken is refused for that field."""
    for said, point in DRIVES:
        answer = await api.post("/drives/", {**DRIVE, **said})
        assert answer.error == (400, "validation", point), said
        assert_in_our_words(answer)
    assert (await api.get("/drives/")).json["meta"]["total_count"] == 0


async def test_servers_with_bad_values(api: Api):
    """A server with a value that cannot be taken is refused for the outermost field."""
    for said, point in SERVERS:
        answer = await api.post("/servers/", {**SERVER, **said})
        assert answer.error == (400, "validation", point), said
        assert_in_our_words(answer)
    assert (await api.get("/servers/")).json["meta"]["total_count"] == 0


async def test_clones_with_bad_values(api: Api):
    """A clone with a value that cannot be taken is refused; absent and null are fine."""
    source = await api.drive(size=DRIVE["size"] + 16384)
    for said, point in CLONES:
        answer = await api.post(f"/drives/{source}/action/?do=clone", said)
        assert answer.error == (400, "validation", point), said
    for said, point in (({"name": 1}, "name"), ({"random_vnc_password": 1}, "random_vnc_password")):
        answer = await api.post(f"/servers/{source}/action/?do=clone", said)
        assert answer.error == (400, "validation", point)
    assert (await api.get("/jobs/")).json["meta"]["total_count"] == 0


@in_turn("kind", ["drives", "servers"])
@in_turn(
    ("body", "point"),
    [
        ({"objects": {}}, "objects"),
        ({"objects": None}, "objects"),
        ({"objects": []}, "objects"),
        ([], "objects"),
        ([1], "objects"),
        ([[]], "objects"),
        ("text", "objects"),
        (5, "objects"),
        ([{}] * (BULK_LIMIT + 1), "objects"),
        ({}, "name"),
        ([None], "objects"),
    ],
)
async def test_bodies_of_the_wrong_form(api: Api, kind: str, body: Any, point: str):
    """A body that is neither an object nor a bounded list of them is refused."""
    await assert_refused(api, f"/{kind}/", body, point)


@in_turn("kind", ["drives", "servers"])
@in_turn(
    "body",
    [
        b"{",
        b"{'a': 1}",
        b'{"size": NaN}',
        b'{"name": "\\ud800"}',
        b'{"name": "\xff"}',
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b'{"a":' * 40_000,
        b"\0",
    ],
)
async def test_bodies_that_are_not_json(api: Api, kind: str, body: bytes):
    """Malformed JSON, lone surrogates and bottomless nesting are a 400 without a point."""
    answer = await api.call(
        "POST", f"/{kind}/", data=body, headers={"Content-Type": "application/json"}
    )
    assert answer.error == (400, "validation", None)


async def test_an_action_takes_an_object(api: Api):
    """The body of an action is an object."""
    drive = await api.drive()
    for body in ([], [{}], "x", 1, True):
        answer = await api.post(f"/drives/{drive}/action/?do=clone", body)
        assert answer.error == (400, "validation", None)


@in_turn("kind", ["jobs", "drives", "servers"])
@in_turn("name", ["limit", "offset"])
@in_turn("value", ["-1", "x", "", "1.5", "+1", "1_0", "%20", "%D9%A1", "9" * 19, "9" * 5000])
async def test_bad_paging(api: Api, kind: str, name: str, value: str):
    """A limit or offset that is not a natural number is a 400 with its name as the point."""
    assert (await api.get(f"/{kind}/?{name}={value}")).error == (400, "validation", name)


async def test_the_last_of_several_limits_counts(api: Api):
    """Of a repeated limit the last one counts."""
    answer = await api.get("/jobs/?limit=x&limit=7")
    assert answer.json["meta"]["limit"] == 7
