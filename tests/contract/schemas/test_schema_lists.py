"""Lists can be filtered and ordered as `/schema/` says: CONTRACT.md 1.7 and 3.2.

The walk reads the schemas, so a new filter or order is tried by itself.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from ledger.domain.commands.jobs import CreateJob, FailJob, StartAttempt
from ledger.domain.events.jobs import Resource
from tests.api.calling import ALICE, DRIVE, KEYPAIR, SERVER, Api
from tests.api.openapi.test_openapi import OPERATIONS
from tests.contract.following import Json, listed, shown
from tests.contract.resources.test_libdrives import add

WALKED = ("drives", "ips", "jobs", "keypairs", "pubkeys", "servers", "tags")
KINDS = (*WALKED, "libdrives")
NAMES = ("Straßen", "elm", "ELM, b")


async def fill(api: Api, directory: Path) -> None:
    """Of each kind some that differ in whatever can be filtered."""
    drives = [await new(api, "drives", {**DRIVE, "name": name}) for name in NAMES]
    servers = [
        await new(api, "servers", {**SERVER, "name": name, "nics": [static(number)]})
        for number, name in enumerate(NAMES, start=9)
    ]
    for server in servers:
        assert (await api.post(f"/servers/{server}/action/?do=start")).status == 202
    for name in NAMES:
        await new(api, "keypairs", {**KEYPAIR, "name": name})
    for name, resources in zip(NAMES, ((drives[0], servers[1]), (drives[1],), ()), strict=True):
        await new(api, "tags", {"name": name, "resources": resources})
    for drive, operation in zip(
        drives, ("drive_clone", "server_clone", "drive_scrub"), strict=True
    ):
        job = api.service.new_id()
        named = (Resource("drives", drive, "source"),)
        await api.do(CreateJob(ALICE.uuid, job, operation, named), StartAttempt(job, 1, "test"))
    await api.do(FailJob(job, 1, "no"))
    for number, name in enumerate(NAMES):
        fields = ("arch", "category", "distribution", "os", "version")
        said = {field: f"{field} {number}" for field in fields}
        image_type = ("preinst", "install", "live")[number]
        await add(api, directory, name, image_type=image_type, **said)


def static(number: int) -> Json:
    return {"ip_v4_conf": {"conf": "static", "ip": f"192.0.2.{number}"}}


async def new(api: Api, kind: str, body: Json) -> str:
    answer = await api.post(f"/{kind}/", body)
    assert answer.status == 201, answer.body
    uuid: str = answer.json["objects"][0]["uuid"]
    return uuid


async def shown_with(api: Api, path: str, query: Mapping[str, str]) -> Json:
    url = api.client.make_url(f"/api/2.0{path}").update_query(query)
    return await shown(api, url.raw_path_qs)


def uuids(page: Json) -> list[str]:
    return [thing["uuid"] for thing in page["objects"]]


# Filters


COMPARE: Mapping[str, Callable[[str, str], bool]] = {
    "exact": lambda value, asked: value == asked,
    "contains": lambda value, asked: asked.casefold() in value.casefold(),
    "icontains": lambda value, asked: asked.casefold() in value.casefold(),
    "gte": lambda value, asked: value >= asked,
    "lt": lambda value, asked: value < asked,
}


class Filter:
    """A filter as a schema names it: what it looks at in a thing, and what it finds."""

    def __init__(self, parameter: str, lookup: str, tag_names: Mapping[str, str]) -> None:
        self._field = parameter.removesuffix(f"__{lookup}")
        self._lookup = lookup
        self._tag_names = tag_names

    @property
    def is_part(self) -> bool:
        return "contains" in self._lookup

    def values(self, thing: Json) -> list[str]:
        match self._field:
            case "tag":
                return [tag["uuid"] for tag in thing["tags"]]
            case "tag__name":
                return [self._tag_names[tag["uuid"]] for tag in thing["tags"]]
            case "resource":
                return [uri.split("/")[-2] for uri in thing["resources"]]
            case field:
                found = thing[field]
                return found if isinstance(found, list) else [found]

    def asked(self, thing: Json) -> str:
        """A value that finds this thing; of a part of a name, in the other case.

        That is longer where a character, such as ß, has no other case.
        """
        value = self.values(thing)[0]
        return value[:-1].swapcase() if self.is_part else value

    def finds(self, thing: Json, asked: str) -> bool:
        return any(COMPARE[self._lookup](value, asked) for value in self.values(thing))


async def test_each_filter_and_order_does_what_it_says(
    api: Api, tmp_path: Path, subtests: pytest.Subtests
):
    """Each filter finds what its lookup says and nothing else, each order orders, both ways."""
    await fill(api, tmp_path)
    tag_names = {tag["uuid"]: tag["name"] for tag in (await shown(api, "/tags/"))["objects"]}
    for kind in KINDS:
        schema = await shown(api, f"/{kind}/schema/")
        things = (await shown(api, f"/{kind}/detail/?limit=0"))["objects"]
        for parameter, lookup in schema["filtering"].items():
            with subtests.test(kind=kind, filter=parameter):
                found = Filter(parameter, lookup, tag_names)
                await check_filter(api, kind, things, parameter, found)
        assert schema["ordering"]
        for name in schema["ordering"]:
            with subtests.test(kind=kind, order=name):
                await check_order(api, kind, things, name.removeprefix("-"))


async def check_filter(
    api: Api, kind: str, things: list[Json], parameter: str, found: Filter
) -> None:
    differing = [thing for thing in things[1:] if found.values(thing)]
    asked = found.asked(max(things, key=longest_name) if found.is_part else differing[0])
    expected = [thing["uuid"] for thing in things if found.finds(thing, asked)]
    assert 0 < len(expected) < len(things), "the sample cannot tell it from no filter"
    query = {parameter: asked.replace(",", "\\,")}
    assert uuids(await shown_with(api, f"/{kind}/", query)) == expected
    if kind in WALKED:
        walked = await shown_with(api, f"/{kind}/", {**query, "after": ""})
        assert sorted(uuids(walked)) == sorted(expected)


def longest_name(thing: Json) -> int:
    return len(thing["name"])


async def check_order(api: Api, kind: str, things: list[Json], field: str) -> None:
    for order, backwards in ((field, False), (f"-{field}", True)):
        query = {"order_by": order, "limit": "0"}
        found = (await shown_with(api, f"/{kind}/detail/", query))["objects"]
        expected = sorted((thing[field] for thing in things), reverse=backwards)
        assert [thing[field] for thing in found] == expected
        part = {**query, "limit": "1", "offset": "1", "fields": "uuid"}
        page = await shown_with(api, f"/{kind}/", part)
        assert page["objects"] == [{"uuid": found[1]["uuid"]}]
        assert page["meta"]["total_count"] == len(things)


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
async def test_an_order_that_is_not_offered_is_refused(api: Api):
    """And the answer says what is; a walk, and a list of the past, have an order of their own."""
    for kind in KINDS:
        for order in ("size", "created", "-", "name,name", "uuid desc"):
            answer = await api.get(f"/{kind}/?order_by={order}")
            assert answer.error == (400, "validation", "order_by")
            offered = {"jobs": "last_modified", "ips": "uuid"}.get(kind, "uuid, name")
            assert f"takes {offered}," in answer.json[0]["error_message"]
    for path in ("/drives/?after=&order_by=name", "/jobs/?as_of=1&order_by=last_modified"):
        assert (await api.get(path)).error == (400, "validation", "order_by")


async def test_what_is_alike_is_ordered_by_the_next_field(api: Api):
    """At last by age; an order goes with filters, and a tag's list has it too."""
    first, second, third = [await new(api, "tags", {"name": name}) for name in ("b", "a", "b")]
    assert await listed(api, "/tags/?order_by=-name") == [first, third, second]
    assert await listed(api, "/tags/?order_by=-name,-uuid") == [third, first, second]
    assert await listed(api, "/tags/?order_by=-uuid&name=b") == [third, first]
    drives = [await new(api, "drives", {**DRIVE, "name": name}) for name in ("b", "a")]
    tag = await new(api, "tags", {"name": "fleet", "resources": drives})
    assert await listed(api, f"/tags/{tag}/drives/?order_by=name") == drives[::-1]


def test_every_list_with_a_schema_is_walked() -> None:
    """Those with one object, or with prices, can be neither filtered nor ordered."""
    described = {name.split("/")[3] for name in OPERATIONS if name.endswith("/schema/")}
    assert described == {*KINDS, "balance", "capabilities", "currentusage", "pricing", "profile"}
