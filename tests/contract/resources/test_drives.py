"""Changing, resizing and deleting drives: tests/contract/CONTRACT.md 3.2."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger.workers import image_keeper
from tests.api.calling import BOB, SIZE, UNKNOWN, Api
from tests.contract.following import Json, listed, reference, settled, shown
from tests.harness.cases import in_turn
from tests.support.wait import PATIENCE_S

GREATER = 2 * SIZE


async def edit(api: Api, drive: str, **said: Any) -> Json:
    answer = await api.put(f"/drives/{drive}/", said)
    assert answer.status == 200, answer.body
    found: Json = answer.json
    return found


async def new_tags(api: Api, *names: str) -> list[str]:
    answer = await api.post("/tags/", [{"name": name} for name in names])
    return [tag["uuid"] for tag in answer.json["objects"]]


async def running_server(api: Api, *drives: str) -> str:
    server = await api.server(*drives)
    assert (await api.post(f"/servers/{server}/action/?do=start")).status == 202
    return server


# Edit


async def test_put_is_partial(api: Api):
    """Keys that are not given, or null, keep their value; the answer is the bare drive."""
    drive = await api.drive(meta={"a": "b"}, affinities=["ssd"], allow_multimount=True)
    before = await shown(api, f"/drives/{drive}/")
    nulls = dict.fromkeys(("media", "size", "meta", "affinities", "allow_multimount", "tags"))
    assert await edit(api, drive, name="fir", **nulls) == {**before, "name": "fir"}
    assert await edit(api, drive, name=None) == {**before, "name": "fir"}
    assert await shown(api, f"/drives/{drive}/") == {**before, "name": "fir"}


async def test_put_changes_what_is_given(api: Api):
    """Name, media, meta, affinities and allow_multimount change, a drive's name also to ""."""
    drive = await api.drive()
    said = {
        "name": "",
        "media": "cdrom",
        "meta": {"note": "new"},
        "affinities": ["ssd"],
        "allow_multimount": True,
    }
    before = await shown(api, f"/drives/{drive}/")
    assert await edit(api, drive, **said) == {**before, **said}


async def test_put_replaces_meta_whole(api: Api):
    """`meta` that is present replaces the old one, an empty one too; it is never null."""
    drive = await api.drive(meta={"a": "1", "b": "2"})
    assert (await edit(api, drive, meta={"b": "3"}))["meta"] == {"b": "3"}
    assert (await edit(api, drive, meta=None))["meta"] == {"b": "3"}
    assert (await edit(api, drive, meta={}))["meta"] == {}


async def test_put_takes_a_whole_drive(api: Api):
    """The answer of a GET sent back changes nothing, whatever else is in it."""
    drive = await api.drive(meta={"a": "b"})
    await api.post("/tags/", {"name": "t", "resources": [drive]})
    await api.server(drive)
    await api.clone(drive)
    whole = await shown(api, f"/drives/{drive}/")
    assert whole["jobs"]
    assert whole["mounted_on"]
    assert whole["tags"]
    assert await edit(api, drive, **whole, nonsense={"x": 1}) == whole


async def test_put_does_not_change_what_is_fixed(api: Api):
    """uuid, owner and status are passed over, and another storage_type is refused."""
    drive = await api.drive()
    before = await shown(api, f"/drives/{drive}/")
    said = {"storage_type": "dssd", "uuid": UNKNOWN, "owner": None, "status": "x", "jobs": 5}
    assert await edit(api, drive, **said) == before
    for other in ("zadara", "no such"):
        answer = await api.put(f"/drives/{drive}/", {"name": "new", "storage_type": other})
        assert answer.error == (400, "validation", "storage_type")
    assert await shown(api, f"/drives/{drive}/") == before


async def test_put_sets_tags_in_any_form(api: Api):
    """`tags` are uuids, objects or both at once; the answer has objects, and `[]` clears."""
    drive = await api.drive()
    first, second = await new_tags(api, "first", "second")
    mixed = [first, reference("tags", second)]
    tags = (await edit(api, drive, tags=mixed))["tags"]
    assert tags == [reference("tags", tag) for tag in sorted((first, second))]
    assert (await edit(api, drive, tags=[{"uuid": second}]))["tags"] == [reference("tags", second)]
    assert (await edit(api, drive, name="x"))["tags"] == [reference("tags", second)]
    assert (await edit(api, drive, tags=[]))["tags"] == []


async def test_put_of_an_unknown_tag_changes_nothing(api: Api):
    """A tag that does not exist, or is another's, is a 400, and the rest is not done either."""
    drive = await api.drive()
    (foreign,) = (await api.post("/tags/", {"name": "t"}, by=BOB)).json["objects"]
    before = await shown(api, f"/drives/{drive}/")
    for tag in (UNKNOWN, foreign["uuid"]):
        answer = await api.put(f"/drives/{drive}/", {"name": "new", "tags": [tag]})
        assert answer.error == (400, "validation", "tags")
    assert await shown(api, f"/drives/{drive}/") == before


@in_turn("body", [b"", b"{}", b"null"])
async def test_put_of_nothing(api: Api, body: bytes):
    """A PUT without a body, or with an empty one, is a 200 and changes nothing."""
    drive = await api.drive()
    before = await shown(api, f"/drives/{drive}/")
    headers = {"Content-Type": "application/json"}
    answer = await api.call("PUT", f"/drives/{drive}/", data=body, headers=headers)
    assert (answer.status, answer.json) == (200, before)


async def test_a_drive_of_a_running_server_changes_little(api: Api):
    """Name, meta, tags and allow_multimount change; the rest is silently passed over."""
    drive = await api.drive()
    await running_server(api, drive)
    before = await shown(api, f"/drives/{drive}/")
    (tag,) = await new_tags(api, "t")
    passed_over = {"media": "cdrom", "size": GREATER, "affinities": ["ssd"]}
    said = {"name": "new", "meta": {"a": "b"}, "allow_multimount": True}
    after = await edit(api, drive, **passed_over, **said, tags=[tag])
    assert after == {**before, **said, "tags": [reference("tags", tag)]}
    assert await shown(api, f"/drives/{drive}/") == after


# Resize


async def resize_by_put(api: Api, drive: str, body: Json) -> Json:
    answer = await api.put(f"/drives/{drive}/", body)
    assert answer.status == 200, answer.body
    found: Json = answer.json
    return found


async def resize_by_action(api: Api, drive: str, body: Json) -> Json:
    answer = await api.post(f"/drives/{drive}/action/?do=resize", body)
    assert answer.status == 202, answer.body
    assert set(answer.json) == {"objects"}
    (found,) = answer.json["objects"]
    resized: Json = found
    return resized


RESIZES = in_turn("resize", [resize_by_put, resize_by_action])


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Resizes wait until it is set."""
    let_go, really = threading.Event(), image_keeper.grow

    def grow_then(image: Path, size: int) -> None:
        assert let_go.wait(PATIENCE_S)
        really(image, size)

    monkeypatch.setattr(image_keeper, "grow", grow_then)
    yield let_go
    let_go.set()


@pytest.mark.parametrize("resize", [resize_by_put, resize_by_action])
async def test_a_resize_shows_the_old_size_until_it_is_done(
    api: Api, resize: Any, held: threading.Event
):
    """The answer has status `resizing` and the old size; the new one comes with `unmounted`."""
    drive = await api.drive()
    answer = await resize(api, drive, {"size": GREATER})
    held.set()
    assert (answer["status"], answer["size"], answer["jobs"]) == ("resizing", SIZE, [])
    done = await settled(api, drive, "resizing")
    assert (done["status"], done["size"], done["jobs"]) == ("unmounted", GREATER, [])
    assert await listed(api, "/jobs/") == []


@RESIZES
@in_turn("asked", [1_207_959_631, "1207959631"])
async def test_a_resize_rounds_up(api: Api, resize: Any, asked: Any):
    """A size is an int or digits, and is rounded up to a multiple of 16 KiB."""
    drive = await api.drive()
    await resize(api, drive, {"size": asked})
    assert (await settled(api, drive, "resizing"))["size"] == 1_207_975_936


@RESIZES
async def test_a_resize_takes_a_whole_drive(api: Api, resize: Any):
    """The answer of a GET with another size is sent, read-only keys and all."""
    drive = await api.drive(meta={"a": "b"})
    whole = await shown(api, f"/drives/{drive}/")
    await resize(api, drive, {**whole, "size": GREATER})
    assert await settled(api, drive, "resizing") == {**whole, "size": GREATER}


@RESIZES
async def test_a_mounted_drive_is_mounted_again_after_a_resize(api: Api, resize: Any):
    """A drive that a stopped server mounts may grow."""
    drive = await api.drive()
    await api.server(drive)
    assert (await resize(api, drive, {"size": GREATER}))["status"] in {"resizing", "mounted"}
    done = await settled(api, drive, "resizing")
    assert (done["status"], done["size"]) == ("mounted", GREATER)


@RESIZES
async def test_the_same_size_is_no_resize(api: Api, resize: Any):
    """A drive that has the size already, rounded up, is answered as it is."""
    drive = await api.drive()
    answer = await resize(api, drive, {"size": SIZE - 1})
    assert (answer["status"], answer["size"]) == ("unmounted", SIZE)


async def test_a_drive_does_not_shrink(api: Api):
    """A smaller size is a 400 for `size`, by PUT and by action, and nothing else is changed."""
    drive = await api.drive(size=GREATER)
    before = await shown(api, f"/drives/{drive}/")
    body = {"size": SIZE, "name": "new"}
    for answer in (
        await api.put(f"/drives/{drive}/", body),
        await api.post(f"/drives/{drive}/action/?do=resize", body),
    ):
        assert answer.error == (400, "validation", "size")
    assert await shown(api, f"/drives/{drive}/") == before


async def test_a_drive_that_is_cloned_is_not_resized(api: Api):
    """While a job needs a drive, as source or destination, another size is a 403."""
    source = await api.drive()
    destination, job = await api.clone(source)
    for drive in (source, destination):
        path = f"/drives/{drive}/"
        for answer in (
            await api.put(path, {"size": GREATER}),
            await api.post(f"{path}action/?do=resize", {"size": GREATER}),
        ):
            assert answer.error == (403, "permission", None)
    await api.succeed(job)
    assert (await edit(api, source, size=GREATER))["status"] in {"resizing", "unmounted"}
    await settled(api, source, "resizing")


async def test_a_drive_of_a_running_server_is_not_resized_by_action(api: Api):
    """On a running server the action is a 403, where PUT passes the size over."""
    drive = await api.drive()
    await running_server(api, drive)
    answer = await api.post(f"/drives/{drive}/action/?do=resize", {"size": GREATER})
    assert answer.error == (403, "permission", None)
    assert (await shown(api, f"/drives/{drive}/"))["size"] == SIZE


# Delete


async def test_a_drive_of_a_running_server_is_not_deleted(api: Api):
    """Deleting it, alone or among others, is a 403 and nothing is deleted."""
    free, drive = await api.drive(), await api.drive()
    await running_server(api, drive)
    for answer in (
        await api.delete(f"/drives/{drive}/"),
        await api.delete("/drives/", {"objects": [{"uuid": free}, {"uuid": drive}]}),
    ):
        assert answer.error == (403, "permission", None)
    assert set(await listed(api, "/drives/")) == {free, drive}


async def test_a_deleted_drive_leaves_its_servers_and_tags(api: Api):
    """A drive is taken off the stopped servers that mount it, and bears no tag any more."""
    drive = await api.drive()
    server = await api.server(drive)
    (tag,) = (await api.post("/tags/", {"name": "t", "resources": [drive]})).json["objects"]
    assert (await api.delete(f"/drives/{drive}/")).status == 204
    assert (await shown(api, f"/servers/{server}/"))["drives"] == []
    assert (await shown(api, tag["resource_uri"]))["resources"] == []


# Availability groups


async def test_availability_groups_are_lists_of_uuids(api: Api):
    """All groups are a list of lists; a drive's own is a flat one with itself in it."""
    drives = [await api.drive() for _ in range(3)]
    cold = await api.drive(storage_type="zadara", size=GREATER)
    await api.drive(by=BOB)
    groups = (await api.get("/drives/availability_groups/?limit=0")).json
    assert sorted(uuid for group in groups for uuid in group) == sorted([*drives, cold])
    assert [cold] in groups
    for group in groups:
        for uuid in group:
            assert (await api.get(f"/drives/availability_groups/{uuid}/")).json == group


@in_turn("uuid", [UNKNOWN, "nonsense"])
async def test_the_group_of_an_unknown_drive(api: Api, uuid: str):
    """There is none: 404."""
    answer = await api.get(f"/drives/availability_groups/{uuid}/")
    assert answer.error == (404, "notexist", None)
