"""Lists walked by `?after=`: tests/contract/CONTRACT.md 0."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest

from ledger.domain.commands.jobs import CancelJob, CreateJob, UpdateProgress
from projections.views import walks
from tests.api.calling import ALICE, AUDITOR, BOB, DRIVE, SERVER, UNKNOWN, Api
from tests.contract.following import shown


async def pages(api: Api, path: str, query: str = "", **given: Any) -> AsyncIterator[list[str]]:
    """Yield the uuids of each page to the end; the test may change things in between."""
    after: str | None = ""
    while after is not None:
        answer = await api.get(f"{path}?{query}&after={after}", **given)
        assert answer.status == 200, answer.body
        meta, objects = answer.json["meta"], answer.json["objects"]
        assert set(meta) == {"limit", "next"}
        assert len(objects) <= meta["limit"]
        yield [each["uuid"] for each in objects]
        after = meta["next"]


async def walked(api: Api, path: str, query: str = "", **given: Any) -> list[str]:
    return [uuid async for page in pages(api, path, query, **given) for uuid in page]


async def new_job(api: Api) -> str:
    uuid = api.service.new_id()
    await api.do(CreateJob(ALICE.uuid, uuid, "drive_clone", ()))
    return uuid


class Things:
    """How what can be walked of one kind is made, changed and removed, without its images."""

    def __init__(self, api: Api, kind: str) -> None:
        self._api = api
        self._kind = kind
        self._begun: set[str] = set()

    async def make(self, name: str = "elm") -> str:
        if self._kind == "jobs":
            return await new_job(self._api)
        body = {"drives": DRIVE, "servers": SERVER, "tags": {}}[self._kind]
        answer = await self._api.post(f"/{self._kind}/", {**body, "name": name})
        assert answer.status == 201, answer.body
        uuid: str = answer.json["objects"][0]["uuid"]
        return uuid

    async def change(self, uuid: str) -> None:
        if self._kind == "jobs":
            if uuid not in self._begun:
                await self._api.begin(uuid)
            self._begun.add(uuid)
            await self._api.do(UpdateProgress(uuid, 1, 4, 4, 100, 4))
            return
        meta = {"meta": {"changed": "again"}}
        body = {"drives": meta, "servers": {**SERVER, **meta}, "tags": meta}[self._kind]
        answer = await self._api.put(f"/{self._kind}/{uuid}/", body)
        assert answer.status == 200, answer.body

    async def remove(self, uuid: str) -> None:
        """Delete it; a job leaves the list of those that run."""
        if self._kind == "jobs":
            await self._api.do(CancelJob(ALICE.uuid, uuid))
        else:
            assert (await self._api.delete(f"/{self._kind}/{uuid}/")).status == 204


KINDS = ("jobs", "drives", "servers", "tags")


async def test_a_walk_goes_from_the_newest_to_the_oldest(api: Api, subtests: pytest.Subtests):
    """Page by page, whatever their length; nobody else's are met, and the last page says so."""
    for kind in KINDS:
        made = [await Things(api, kind).make() for _ in range(4)]
        for limit, path in (
            (1, f"/{kind}/"),
            (2, f"/{kind}/detail/"),
            (4, f"/{kind}"),
            (200, f"/{kind}/"),
        ):
            with subtests.test(path=path, limit=limit):
                assert await walked(api, path, f"limit={limit}") == made[::-1]
        assert await walked(api, f"/{kind}/", by=BOB) == []


async def test_what_was_there_throughout_comes_exactly_once(
    api: Api, seed: int, subtests: pytest.Subtests
):
    """While things are made, changed and removed between the pages; nothing comes twice."""
    random = Random(seed)  # noqa: S311 - test data
    for kind in KINDS:
        things = Things(api, kind)
        there = [await things.make() for _ in range(6)]
        kept, met = set(there), list[str]()
        with subtests.test(kind=kind):
            async for page in pages(api, f"/{kind}/", "limit=2&" + RUNNING.get(kind, "")):
                met += page
                there.append(await things.make())
                await things.change(random.choice(there))
                gone = there.pop(random.randrange(len(there) - 1))
                await things.remove(gone)
                kept.discard(gone)
                await things.change(random.choice(there))
            assert len(met) == len(set(met))
            assert kept <= set(met)


RUNNING = {"jobs": "state=started"}


async def test_filters_hold_on_every_page(
    api: Api, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
):
    """A walk finds what the list has; pages that look at few rows may be empty but never end it."""
    monkeypatch.setattr(walks, "LOOKED_AT_MAX", 3)
    for kind in KINDS:
        things = Things(api, kind)
        made = [await things.make(name) for name in NAMES]
        if kind == "jobs":
            await api.fail(made[0])
            await api.succeed(made[2])
        if kind in ("drives", "servers"):
            await api.post("/tags/", {"name": "old", "resources": [made[0], made[5]]})
        for query in FILTERS[kind]:
            asked = query.format(*made)
            listed = (await shown(api, f"/{kind}/?{asked}&limit=0"))["objects"]
            expected = sorted((each["uuid"] for each in listed), key=made.index, reverse=True)
            for limit in (1, 3):
                with subtests.test(kind=kind, query=query, limit=limit):
                    assert expected
                    assert await walked(api, f"/{kind}/", f"{asked}&limit={limit}") == expected


NAMES = ("ash", "oak", "ash", "elm", "bay", "fir", "yew")
NAMED = ("uuid={0},{6}", "name=ash", "name=ash,fir", "name__contains=sh", "name=ash&name=ash,oak")
TAGGED = ("tag__name=old", "tag__name=old,new&name=ash")
FILTERS = {
    "jobs": ("state=failed", "state=failed,success", "operation=drive_clone&state=success"),
    "drives": (*NAMED, *TAGGED),
    "servers": (*NAMED, *TAGGED),
    "tags": NAMED,
}


async def test_jobs_of_a_drive_are_walked(api: Api):
    """Those of one or of several, whoever else has cloned what is in the library."""
    one, other = await api.drive(), await api.drive()
    clones = [(await api.clone(source))[1] for source in (one, other, one)]
    assert await walked(api, "/jobs/", f"resource={one}&limit=1") == [clones[2], clones[0]]
    assert await walked(api, "/jobs/", f"resource={one}&state=failed") == []
    assert await walked(api, "/jobs/", f"resource={one},{other}&limit=2") == clones[::-1]
    assert await walked(api, "/jobs/", f"resource={one}", by=BOB) == []


async def test_what_bears_a_tag_is_walked(api: Api):
    """As the lists of its kind are."""
    drives = [await api.drive() for _ in range(3)]
    answer = await api.post("/tags/", {"name": "fleet", "resources": drives[:2]})
    tag = answer.json["objects"][0]["uuid"]
    assert await walked(api, f"/tags/{tag}/drives/", "limit=1") == [drives[1], drives[0]]
    assert await walked(api, f"/tags/{tag}/servers/detail/") == []


async def test_staff_walk_the_lists_of_others(api: Api):
    """A place in one account's list is none in that of another."""
    jobs = [await new_job(api) for _ in range(3)]
    theirs = f"owner={ALICE.uuid}&limit=2"
    assert await walked(api, "/jobs/", theirs, by=AUDITOR) == jobs[::-1]
    after = (await api.get(f"/jobs/?{theirs}&after=", by=AUDITOR)).json["meta"]["next"]
    answer = await api.get(f"/jobs/?owner={BOB.uuid}&after={after}", by=AUDITOR)
    assert answer.error == (400, "validation", "after")


async def next_of(api: Api, path: str) -> str:
    after: str = (await api.get(f"{path}&after=")).json["meta"]["next"]
    return after


async def test_a_place_is_one_of_the_same_filters(api: Api):
    """In any order, and however many objects and fields a page has; of others it is refused."""
    for _ in range(3):
        await new_job(api)
    after = await next_of(api, "/jobs/?state=started&operation=drive_clone,x&limit=1")
    same = (
        "operation=x,drive_clone&state=started",
        "state=started&operation=drive_clone,x&limit=2&fields=uuid",
    )
    for query in same:
        assert len((await shown(api, f"/jobs/detail/?{query}&after={after}"))["objects"]) == 2
    others = ("/jobs/?", "/jobs/?state=started", "/jobs/?operation=drive_clone,x", "/drives/?")
    for path in others:
        answer = await api.get(f"{path}&after={after}")
        assert answer.error == (400, "validation", "after")
        assert "other filters" in answer.json[0]["error_message"]


def encoded(text: str) -> str:
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


async def test_a_place_of_another_version_is_refused(api: Api):
    """And says that it is that; a walk begun before an upgrade begins anew."""
    for _ in range(2):
        await new_job(api)
    after = await next_of(api, "/jobs/?limit=1")
    text = urlsafe_b64decode(after + "=" * (-len(after) % 4)).decode()
    assert re.fullmatch(r"2 \S+ \S+ [0-9a-f]{16}", text)
    for other in (f"1{text[1:]}", f"3{text[1:]} and more", "33 whatever"):
        answer = await api.get(f"/jobs/?after={encoded(other)}")
        assert answer.error == (400, "validation", "after")
        assert "another version" in answer.json[0]["error_message"]


async def test_what_is_no_place_is_refused(api: Api, subtests: pytest.Subtests):
    """With 400, in words, and the name of what will not do."""
    time = "2026-04-17T08:15:30.000000+00:00"
    refused = {
        "after": [
            "nonsense",
            "%00",
            "\u20ac",
            encoded(f"{time} {UNKNOWN}"),
            encoded("2 2026"),
            "===",
        ],
        "offset": ["&offset=1", "&offset=0"],
        "limit": ["&limit=0", "&limit=201"],
    }
    for kind in KINDS:
        for point, values in refused.items():
            for value in values:
                with subtests.test(kind=kind, value=value):
                    answer = await api.get(f"/{kind}/?after={value}")
                    assert answer.error == (400, "validation", point)


async def test_a_page_of_a_walk_has_a_tag(api: Api):
    """As other pages have."""
    job = await new_job(api)
    answer = await api.get("/jobs/?after=&fields=uuid")
    assert answer.json == {"meta": {"limit": 20, "next": None}, "objects": [{"uuid": job}]}
    again = await api.get(
        "/jobs/?after=&fields=uuid", headers={"If-None-Match": answer.headers["ETag"]}
    )
    assert again.status == 304
