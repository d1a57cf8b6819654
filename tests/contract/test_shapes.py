"""The keys and JSON types of the answers that tests/api/openapi/test_shapes.py leaves.

tests/contract/CONTRACT.md 3 and 5.
"""

from pathlib import Path
from typing import Any

from api.admin.library import Library, NewImage
from tests.api.calling import SIZE, Api
from tests.api.shapes import (
    ACTION,
    DRIVE_SHAPE,
    JOB,
    LIBDRIVE,
    LIBRARY_DRIVE,
    LIST,
    LOG_ENTRY,
    META,
    PROFILE,
    REFERENCE,
    RUNNING_MOUNT,
    RUNNING_NIC,
    RUNNING_SERVER,
    SCHEMA,
    SERVER_NIC_RUNTIME,
    SERVER_RUNTIME,
    SERVER_SHAPE,
    TAG,
    TAGGED,
    assert_shape,
)
from tests.contract.following import settled, shown
from tests.harness.cases import in_turn

ENVELOPE = {"meta": META, "objects": LIST}


async def test_a_changed_drive_is_a_whole_drive(api: Api):
    """PUT answers the bare drive, resizing or not; the action wraps it in `objects`."""
    drive = await api.drive()
    assert_shape((await api.put(f"/drives/{drive}/", {"name": "dune"})).json, DRIVE_SHAPE)
    assert_shape((await api.put(f"/drives/{drive}/", {"size": 2 * SIZE})).json, DRIVE_SHAPE)
    await settled(api, drive, "resizing")
    answer = await api.post(f"/drives/{drive}/action/?do=resize", {"size": 3 * SIZE})
    assert set(answer.json) == {"objects"}
    assert_shape(answer.json["objects"][0], DRIVE_SHAPE)
    await settled(api, drive, "resizing")


async def test_drives_while_and_after_they_are_cloned(api: Api):
    """Source and destination are whole drives at every moment, each with references to jobs."""
    source = await api.drive()
    destination, job = await api.clone(source)
    assert_shape(await shown(api, f"/drives/{source}/"), DRIVE_SHAPE)
    await api.succeed(job)
    for drive in (source, destination):
        found = await shown(api, f"/drives/{drive}/")
        assert_shape(found, DRIVE_SHAPE)
        assert_shape(found["jobs"][0], REFERENCE)


async def test_a_failed_job_has_the_nine_keys(api: Api):
    """A job that failed, one whose destination was deleted, and one without children."""
    source = await api.drive()
    destination, done = await api.clone(source)
    await api.succeed(done)
    await api.delete(f"/drives/{destination}/")
    _, failed = await api.clone(source)
    await api.fail(failed)
    empty = (await api.post(f"/servers/{await api.server()}/action/?do=clone")).json["jobs"]
    for job in (done, failed, empty[0]["uuid"]):
        assert_shape(await shown(api, f"/jobs/{job}/"), JOB)


async def test_a_running_server(api: Api):
    """It has a runtime, and so have its drives and nics; `/runtime/` is the server's."""
    mounts = [
        {"drive": await api.drive(), "device": "virtio", "dev_channel": "0:0", "boot_order": 1}
    ]
    nics = [{"ip_v4_conf": {"conf": "static", "ip": "192.0.2.44"}}]
    server = await api.server(drives=mounts, nics=nics)
    for action in ("start", "restart", "shutdown", "start", "stop", "start"):
        answer = await api.post(f"/servers/{server}/action/?do={action}")
        assert_shape(answer.json, ACTION)
    found = await shown(api, f"/servers/{server}/")
    assert_shape(found, RUNNING_SERVER)
    assert_shape(found["drives"][0], RUNNING_MOUNT)
    assert_shape(found["nics"][0], RUNNING_NIC)
    runtime = await shown(api, f"/servers/{server}/runtime/")
    assert_shape(runtime, SERVER_RUNTIME)
    assert_shape(runtime["nics"][0], SERVER_NIC_RUNTIME)


async def test_a_changed_server_is_a_whole_server(api: Api):
    """PUT answers the bare server, and a server without anything has every key."""
    server = await api.server()
    assert_shape((await api.put(f"/servers/{server}/", {"name": "elm"})).json, SERVER_SHAPE)


async def test_a_tag_and_what_bears_it(api: Api):
    """A tag has six keys wherever it is shown, and four for each thing that bears it."""
    tags = [{"name": "fleet", "resources": [await api.drive(), await api.server()]}]
    created = (await api.post("/tags/", {"objects": tags})).json
    assert set(created) == {"objects"}
    (tag,) = created["objects"]
    assert_shape(tag, TAG)
    for each in tag["resources"]:
        assert_shape(each, TAGGED)
    assert_shape((await api.put(tag["resource_uri"], {"name": "x"})).json, TAG)
    for path in ("/tags/", "/tags/detail/"):
        found = await shown(api, path)
        assert_shape(found, ENVELOPE)
        assert_shape(found["objects"][0], TAG)


async def test_a_profile_has_35_keys(api: Api):
    """GET and PUT answer the bare profile; what is set does not change a type."""
    assert len(PROFILE) == 35
    profile = await shown(api, "/profile/")
    assert_shape(profile, PROFILE)
    answer = await api.put("/profile/", {**profile, "clone_naming": "COUNTER", "vat": "SE1"})
    assert_shape(answer.json, PROFILE)


async def test_a_library_drive(api: Api, tmp_path: Path):
    """It has the keys of a drive below /drives/, and its own below /libdrives/."""
    image = tmp_path / "image.raw"
    image.write_bytes(b"library")
    added = await Library(api.service).add(NewImage(str(image), "Example", "disk"))
    assert_shape(await shown(api, f"/drives/{added.uuid}/"), LIBRARY_DRIVE)
    assert_shape(await shown(api, f"/libdrives/{added.uuid}/"), LIBDRIVE)
    for path in ("/libdrives/", "/libdrives/detail/?limit=0"):
        found = await shown(api, path)
        assert_shape(found, ENVELOPE)
        assert_shape(found["objects"][0], LIBDRIVE)


async def test_the_audit_log(api: Api):
    """Each entry has ten keys."""
    await api.clone(await api.drive())
    found = await shown(api, "/logs/?limit=5")
    assert_shape(found, ENVELOPE)
    for entry in found["objects"]:
        assert_shape(entry, LOG_ENTRY)


@in_turn(("kind", "expected"), [("tags", TAG), ("libdrives", LIBDRIVE), ("profile", PROFILE)])
async def test_the_schema_describes_every_field(api: Api, kind: str, expected: dict[str, Any]):
    """Every field that is shown is in the schema, with or without the slash and `limit=0`."""
    for path in (f"/{kind}/schema/", f"/{kind}/schema?limit=0"):
        schema = await shown(api, path)
        assert_shape(schema, SCHEMA)
        assert set(expected) <= set(schema["fields"])


async def test_the_schema_of_jobs_has_the_words_of_the_public_api(api: Api):
    fields = (await shown(api, "/jobs/schema/"))["fields"]
    assert fields["operation"]["help_text"] == 'Unicode string data. Ex: "Hello World"'
