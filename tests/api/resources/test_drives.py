"""`/drives/`: tests/contract/CONTRACT.md 2.1 to 2.5, 3.1 and 3.2."""

from typing import Any

import pytest

from api.http.fields import decode_fields
from api.resources.drives.bodies import NewDrive
from tests.api.calling import BOB, DRIVE, SIZE, UNKNOWN, Api
from tests.harness.cases import in_turn

LARGEST_IN_EXT4 = 16 * 1024**4 - 16 * 1024
"""A multiple of 16 KiB; ext4 ends a block of 4 KiB before 16 TiB."""


async def status(api: Api, drive: str) -> str:
    shown: str = (await api.get(f"/drives/{drive}/")).json["status"]
    return shown


# Create


@pytest.mark.parametrize("body", [DRIVE, [DRIVE], {"objects": [DRIVE]}])
async def test_create_takes_any_wrapping(api: Api, body: Any):
    """One bare object, a list or `objects` make a drive; the answer is always 201 `objects`."""
    answer = await api.post("/drives/", body)
    assert answer.status == 201
    assert set(answer.json) == {"objects"}
    (drive,) = answer.json["objects"]
    assert drive["status"] in {"creating", "unmounted"}  # its image may be there already
    assert answer.headers["Location"] == drive["resource_uri"]


async def test_create_answers_in_the_same_order(api: Api):
    """A bulk create answers with the new drives in the order they were asked for."""
    names = [f"cedar-{number}" for number in range(20)]
    answer = await api.post("/drives/", [{**DRIVE, "name": name} for name in names])
    assert [drive["name"] for drive in answer.json["objects"]] == names
    assert "Location" not in answer.headers


async def test_bulk_create_is_all_or_none(api: Api):
    """If one object of a bulk create is wrong, none is made."""
    answer = await api.post("/drives/", [DRIVE, {**DRIVE, "media": "tape"}])
    assert answer.error == (400, "validation", "media")
    assert (await api.get("/drives/")).json["meta"]["total_count"] == 0


async def test_create_keeps_all_given_fields(api: Api):
    """Every property that can be given is shown; unknown and read-only keys are ignored."""
    said = {
        "name": "",
        "media": "cdrom",
        "meta": {"note": "é\U0001f600"},
        "affinities": ["ssd"],
        "allow_multimount": True,
        "storage_type": "dssd",
    }
    ignored = {"owner": 5, "status": "x", "uuid": UNKNOWN, "jobs": "x", "nonsense": {}, "tags": []}
    answer = await api.post("/drives/", {**DRIVE, **said, **ignored})
    (drive,) = answer.json["objects"]
    assert {key: drive[key] for key in said} == said
    assert drive["uuid"] != UNKNOWN


@in_turn(
    ("asked", "size"),
    [
        (SIZE, SIZE),
        ("536887296", 536_887_296),
        (1_207_959_631, 1_207_975_936),
        ("1024000000", 1_024_000_000),
        (1_000_000_000, 1_000_013_824),
        (LARGEST_IN_EXT4, LARGEST_IN_EXT4),
    ],
)
async def test_sizes_are_rounded_up_to_16_kib(api: Api, asked: Any, size: int):
    """A size is an int or digits, and is rounded up to a multiple of 16 KiB at once."""
    answer = await api.post("/drives/", {**DRIVE, "size": asked})
    assert answer.json["objects"][0]["size"] == size


def test_the_largest_size_is_16_tib():
    """Decoded only: no file of ext4 is so large, so such a drive may be gone before its answer."""
    assert decode_fields({**DRIVE, "size": 16 * 1024**4}, NewDrive).size == 16 * 1024**4


# Clone


@in_turn("body", [None, {}, {"name": None}, "null", ""])
async def test_a_clone_inherits_absent_fields(api: Api, body: Any):
    """No body, `{}`, `null` and a null name all make a copy of the source's properties."""
    said = {"meta": {"note": "first"}, "affinities": ["ssd"], "allow_multimount": True}
    source = await api.drive(name="ember", **said)
    path = f"/drives/{source}/action/?do=clone"
    as_text = {"data": body} if isinstance(body, str) else {"json": body}
    answer = await api.call("POST", path, headers={"Content-Type": "application/json"}, **as_text)
    assert answer.status == 202
    (clone,) = answer.json["objects"]
    assert clone["uuid"] != source
    assert {key: clone[key] for key in ("name", "size", *said)} == {
        "name": "ember",
        "size": SIZE,
        **said,
    }
    assert clone["status"] == "cloning_dst"
    assert len(clone["jobs"]) == 1
    assert clone["mounted_on"] == []


async def test_a_clone_may_differ(api: Api):
    """What a clone's request names replaces the source's; the size is final at once."""
    source = await api.drive(meta={"a": "b"})
    said = {"name": "amber-copy", "media": "cdrom", "meta": {"note": "second"}, "affinities": []}
    answer = await api.post(
        f"/drives/{source}/action/?avoid={UNKNOWN}&do=clone", {**said, "size": "1207959631"}
    )
    (clone,) = answer.json["objects"]
    assert {key: clone[key] for key in said} == said
    assert clone["size"] == 1_207_975_936


async def test_a_clone_is_not_smaller_than_its_source(api: Api):
    """A clone of equal size is fine; a smaller one is a 400 for `size`."""
    source = await api.drive()
    path = f"/drives/{source}/action/?do=clone"
    assert (await api.post(path, {"size": SIZE})).status == 202
    assert (await api.post(path, {"size": SIZE - 16384})).error == (400, "validation", "size")


async def test_statuses_of_a_clone(api: Api):
    """The source is cloning_src and the destination cloning_dst until the job succeeds."""
    source = await api.drive()
    assert await status(api, source) == "unmounted"
    destination, job = await api.clone(source)
    assert (await status(api, source), await status(api, destination)) == (
        "cloning_src",
        "cloning_dst",
    )
    await api.succeed(job)
    assert (await status(api, source), await status(api, destination)) == (
        "unmounted",
        "unmounted",
    )


async def test_a_mounted_source_stays_mounted(api: Api):
    """A mounted drive stays mounted while it is cloned."""
    source = await api.drive()
    await api.server(source)
    await api.clone(source)
    assert await status(api, source) == "mounted"


async def test_a_clone_may_be_attached_while_it_is_made(api: Api):
    """A drive that is attached while cloning_dst is mounted when the clone is done."""
    destination, job = await api.clone(await api.drive())
    await api.server(destination)
    assert await status(api, destination) == "cloning_dst"
    await api.succeed(job)
    assert await status(api, destination) == "mounted"


async def test_a_failed_clone_is_removed(api: Api):
    """When a clone fails, its destination is removed and its source is free again."""
    source = await api.drive()
    destination, job = await api.clone(source)
    await api.fail(job)
    assert (await api.get(f"/drives/{destination}/")).status == 404
    assert await status(api, source) == "unmounted"
    assert (await api.get(f"/jobs/{job}/")).json["resources"] == [f"/api/2.0/drives/{source}/"]


async def test_a_source_is_cloned_many_times_at_once(api: Api):
    """A source may be cloned while it is cloned; its jobs are listed oldest first."""
    source = await api.drive()
    jobs = [(await api.clone(source))[1] for _ in range(5)]
    shown = (await api.get(f"/drives/{source}/")).json["jobs"]
    assert [job["uuid"] for job in shown] == jobs


async def test_a_clone_cannot_be_cloned_before_it_is_ready(api: Api):
    """A drive without a complete image cannot be a source: 403."""
    destination, _ = await api.clone(await api.drive())
    answer = await api.post(f"/drives/{destination}/action/?do=clone")
    assert answer.error == (403, "permission", None)


@in_turn("query", ["", "?do=", "?do=resurrect"])
@in_turn("kind", ["drives", "servers"])
async def test_unknown_actions_are_refused(api: Api, kind: str, query: str):
    """An action that there is not is a 400 for `do`."""
    answer = await api.post(f"/{kind}/{UNKNOWN}/action/{query}")
    assert answer.error == (400, "validation", "do")


# Delete


async def test_delete_one(api: Api):
    """A deleted drive is a 404 at once and out of every list."""
    drive = await api.drive()
    answer = await api.delete(f"/drives/{drive}/")
    assert (answer.status, answer.body) == (204, b"")
    assert (await api.get(f"/drives/{drive}/")).status == 404
    assert (await api.get("/drives/")).json["meta"]["total_count"] == 0
    assert (await api.delete(f"/drives/{drive}/")).error == (404, "notexist", None)


async def test_delete_many_takes_every_form_of_reference(api: Api):
    """A bulk delete names drives by uuid, by object, or with a resource_uri too."""
    drives = [await api.drive() for _ in range(3)]
    references = [
        drives[0],
        {"uuid": drives[1]},
        {"uuid": drives[2], "resource_uri": f"/api/2.0/drives/{drives[2]}/"},
    ]
    assert (await api.delete("/drives/", {"objects": references})).status == 204
    assert (await api.get("/drives/")).json["objects"] == []


async def test_bulk_delete_is_all_or_none(api: Api):
    """If one of them does not exist, none is deleted."""
    drive = await api.drive()
    answer = await api.delete("/drives/", {"objects": [{"uuid": drive}, {"uuid": UNKNOWN}]})
    assert answer.error == (404, "notexist", None)
    assert await status(api, drive) == "unmounted"


async def test_a_drive_that_is_being_cloned_is_not_deleted(api: Api):
    """While the job runs neither its source nor its destination can be deleted: 403."""
    source = await api.drive()
    destination, job = await api.clone(source)
    for drive in (source, destination):
        assert (await api.delete(f"/drives/{drive}/")).error == (403, "permission", None)
    await api.succeed(job)
    assert (await api.delete(f"/drives/{source}/")).status == 204


async def test_a_mounted_drive_is_detached_when_deleted(api: Api):
    """Deleting a drive that a stopped server mounts takes it off the server."""
    drive = await api.drive()
    server = await api.server(drive)
    assert (await api.delete(f"/drives/{drive}/")).status == 204
    assert (await api.get(f"/servers/{server}/")).json["drives"] == []


async def test_a_malformed_uuid_in_a_body_is_a_bad_request(api: Api):
    """In a body a malformed uuid is a 400, where in the URL it is a 404."""
    answer = await api.delete("/drives/", {"objects": [{"uuid": "nonsense"}]})
    assert answer.error == (400, "validation", "objects")


async def test_lists_hold_only_the_callers_drives(api: Api):
    """The list of an account has nothing of another's."""
    await api.drive(by=BOB)
    mine = await api.drive()
    answer = (await api.get("/drives/")).json
    assert [drive["uuid"] for drive in answer["objects"]] == [mine]
    assert answer["meta"]["total_count"] == 1


async def test_a_long_list_of_drives_is_streamed_whole(api: Api):
    """`limit=0` gives every drive, in as many pieces as it takes."""
    for _ in range(3):
        assert (await api.post("/drives/", [{**DRIVE, "media": "cdrom"}] * 150)).status == 201
    for path in ("/drives/?limit=0", "/drives/detail/?limit=0"):
        answer = (await api.get(path)).json
        assert len({drive["uuid"] for drive in answer["objects"]}) == 450
        assert answer["meta"] == {"limit": 0, "offset": 0, "total_count": 450}
