"""The library: tests/contract/CONTRACT.md 2.1, 2.9 and 5."""

from pathlib import Path
from typing import Any

import pytest

from api.admin.library import Library, NewImage
from ledger.domain.events.drives import Media
from tests.api.calling import ALICE, BOB, SERVER, UNKNOWN, Api
from tests.contract.following import Json, listed, reference, settled, shown
from tests.harness.cases import in_turn

CONTENT = b"library" * 10_000
KEYS = (
    "affinities allow_multimount arch category description distribution favourite image_type"
    " install_notes jobs licenses media meta mounted_on name os owner paid resource_uri size status"
    " storage_type tags url uuid version"
)
SAID = {
    "arch": "64",
    "category": "general,web",
    "default_user": "cloud",
    "description": "An example",
    "distribution": "example",
    "favourite": "true",
    "image_type": "preinst",
    "install_notes": "none",
    "os": "linux",
    "paid": "false",
    "url": "https://example.org/",
    "version": "1.0",
}
OTHER = {"category": "general", "os": "bsd", "version": "2.0"}
BOTH_URLS = in_turn("kind", ["drives", "libdrives"])


async def add(api: Api, directory: Path, name: str = "Example OS 1.0", **said: str) -> str:
    """A disk of the library."""
    return await _add(api, directory, name, "disk", said)


async def add_cdrom(api: Api, directory: Path) -> str:
    return await _add(api, directory, "Installer", "cdrom", {})


async def _add(api: Api, directory: Path, name: str, media: Media, meta: dict[str, str]) -> str:
    path = directory / "image.raw"
    path.write_bytes(CONTENT)
    image = NewImage(str(path), name, media, meta=meta)
    return (await Library(api.service).add(image)).uuid


async def clone(api: Api, kind: str, uuid: str, **said: Any) -> Json:
    answer = await api.post(f"/{kind}/{uuid}/action/?do=clone", said)
    assert answer.status == 202, answer.body
    assert set(answer.json) == {"objects"}
    (drive,) = answer.json["objects"]
    found: Json = drive
    return found


def mount(drive: str) -> Json:
    return {"drive": drive, "device": "ide", "dev_channel": "0:0"}


# What is shown


async def test_a_library_drive_is_shown_in_both_places(api: Api, tmp_path: Path):
    """It is readable below /drives/ as a drive and below /libdrives/, without an owner."""
    uuid = await add(api, tmp_path, **SAID)
    drive = await shown(api, f"/drives/{uuid}/")
    libdrive = await shown(api, f"/libdrives/{uuid}/?limit=0")
    mine = await shown(api, f"/drives/{await api.drive()}/")
    assert set(drive) == set(mine)
    for found, kind in ((drive, "drives"), (libdrive, "libdrives")):
        assert found["owner"] is None
        assert (found["uuid"], found["status"], found["jobs"]) == (uuid, "unmounted", [])
        assert found["resource_uri"] == f"/api/2.0/{kind}/{uuid}/"
    assert libdrive["category"] == ["general", "web"]
    assert (libdrive["favourite"], libdrive["paid"]) == (True, False)
    for key in ("arch", "os", "distribution", "description", "version", "url", "install_notes"):
        assert libdrive[key] == SAID[key]


async def test_every_key_is_always_there(api: Api, tmp_path: Path):
    """A library drive of which nothing is said has every key all the same, disk or cdrom."""
    types: Json = {}
    for uuid in (await add(api, tmp_path), await add_cdrom(api, tmp_path)):
        found = await shown(api, f"/libdrives/{uuid}/")
        assert sorted(found) == KEYS.split()
        types[found["media"]] = found["image_type"]
    assert types == {"disk": "preinst", "cdrom": "install"}


async def test_the_library_is_in_no_list_of_drives(api: Api, tmp_path: Path):
    """/drives/ and its availability groups have no library drive; /libdrives/ has nothing else."""
    uuid = await add(api, tmp_path)
    mine = await api.drive()
    for path in ("/drives/", "/drives/detail/?limit=0", f"/drives/?uuid={uuid},{mine}"):
        assert await listed(api, path) == [mine]
    assert (await api.get("/drives/availability_groups/")).json == [[mine]]
    for path in ("/libdrives/", "/libdrives/detail/"):
        assert await listed(api, f"{path}?limit=0") == [uuid]
        assert await listed(api, f"{path}?uuid={uuid.upper()},{mine}") == [uuid]
    assert (await api.get(f"/libdrives/{mine}/")).error == (404, "notexist", None)


FILTERS = [
    ("name=Example OS 1.0", "a"),
    ("name=example os 1.0", ""),
    ("name__icontains=EXAMPLE", "ab"),
    ("name__icontains=%20os,nothing", "a"),
    ("name__icontains=strasse", "c"),
    ("name__icontains=%C3%A9", "c"),
    ("name__icontains=e%CC%81", ""),
    ("os=linux", "a"),
    ("os=linux,bsd", "ab"),
    ("arch=64", "ab"),
    ("distribution=example", "ab"),
    ("image_type=preinst", "ab"),
    ("image_type=install", "c"),
    ("version=1.0&os=linux", "a"),
    ("version=1.0&version=2.0", ""),
    ("category=web", "a"),
    ("category=general", "abc"),
    ("nonsense=5", "abc"),
]
"""Queries, and which of the three library drives they find."""


async def test_the_library_is_filtered(api: Api, tmp_path: Path, subtests: pytest.Subtests):
    """By name, name__icontains, os, arch, distribution, image_type, version and category.

    Case folds as in Unicode, where ß is ss; two ways of writing the same letter differ.
    """
    uuids = {
        "a": await add(api, tmp_path, **SAID),
        "b": await add(api, tmp_path, "Example 2", **{**SAID, **OTHER}),
        "c": await _add(api, tmp_path, "STRAßE É", "cdrom", {}),
    }
    for query, found in FILTERS:
        with subtests.test(query=query):
            assert await listed(api, f"/libdrives/?{query}") == [uuids[name] for name in found]
            page = await shown(api, f"/libdrives/?{query}&limit=1&fields=uuid")
            assert page["meta"] == {"limit": 1, "offset": 0, "total_count": len(found)}
            assert page["objects"] == [{"uuid": uuids[name]} for name in found[:1]]


# Cloning


@BOTH_URLS
async def test_a_library_drive_is_cloned_through_both_urls(live: Api, tmp_path: Path, kind: str):
    """The answer is a drive of the caller's below /drives/, which then has the image's bytes."""
    uuid = await add(live, tmp_path, **SAID)
    drive = await clone(live, kind, uuid, name="mine")
    assert drive["owner"] == reference("user", ALICE.uuid)
    assert drive["name"] == "mine"
    assert drive["status"] in {"cloning_dst", "unmounted"}
    assert drive["resource_uri"] == f"/api/2.0/drives/{drive['uuid']}/"
    await settled(live, drive["uuid"], "cloning_dst")
    image = await live.get(f"/drives/{drive['uuid']}/download/")
    assert image.body.rstrip(b"\0") == CONTENT


@BOTH_URLS
async def test_cloning_does_not_show_on_the_source(api: Api, tmp_path: Path, kind: str):
    """The library drive stays unmounted without jobs, and is not locked: others clone it too."""
    uuid = await add(api, tmp_path)
    before = await shown(api, f"/{kind}/{uuid}/")
    for account in (ALICE, BOB):
        await api.clone(uuid, by=account)
    assert await shown(api, f"/{kind}/{uuid}/") == before


async def test_a_clones_meta_is_what_the_library_says(api: Api, tmp_path: Path):
    """Meta of the clone has os, arch and the rest, texts all; what the caller says is added."""
    uuid = await add(api, tmp_path, **SAID)
    assert (await clone(api, "drives", uuid))["meta"] == SAID
    said = await clone(api, "libdrives", uuid, meta={"note": "mine"})
    assert said["meta"] == {**SAID, "note": "mine"}


async def test_a_clones_meta_tells_what_the_library_leaves_unsaid(api: Api, tmp_path: Path):
    """Each of the library's facts is in it, with what the library shows for it."""
    uuid = await _add(api, tmp_path, "BSD", "cdrom", OTHER)
    meta = (await clone(api, "libdrives", uuid))["meta"]
    assert meta.keys() == SAID.keys() - {"default_user"}
    assert OTHER.items() <= meta.items()
    assert (meta["image_type"], meta["paid"], meta["arch"]) == ("install", "false", "")


async def test_the_library_source_is_never_dropped(api: Api, tmp_path: Path):
    """The job names the library drive below /drives/, also when the clone is gone."""
    uuid = await add(api, tmp_path)
    drive, job = await api.clone(uuid)
    both = sorted(f"/api/2.0/drives/{each}/" for each in (uuid, drive))
    assert (await shown(api, f"/jobs/{job}/"))["resources"] == both
    await api.succeed(job)
    assert (await api.delete(f"/drives/{drive}/")).status == 204
    assert (await shown(api, f"/jobs/{job}/"))["resources"] == [f"/api/2.0/drives/{uuid}/"]


async def test_avoid_may_name_a_library_drive(api: Api, tmp_path: Path):
    """A clone that avoids its library source lies elsewhere; Terraform's keys are taken."""
    uuid = await add(api, tmp_path)
    said = {"media": "disk", "name": "mine", "size": 1024**3, "storage_type": "dssd"}
    answers = [
        await api.post(f"/drives/{uuid}/action/?do=clone{avoid}", said)
        for avoid in ("", f"&avoid={uuid}")
    ]
    near, apart = [answer.json["objects"][0]["uuid"] for answer in answers]
    assert (await api.get(f"/drives/availability_groups/{near}/")).json == [near]
    assert (await api.get(f"/drives/availability_groups/{apart}/")).json == [apart]


# Attaching, and all else


async def test_a_library_disk_cannot_be_attached(api: Api, tmp_path: Path):
    """A server with a library disk, created or changed, is a 403 and nothing happens."""
    uuid = await add(api, tmp_path)
    server = await api.server()
    body = {"drives": [mount(uuid)]}
    for answer in (
        await api.post("/servers/", {**SERVER, **body}),
        await api.put(f"/servers/{server}/", body),
    ):
        assert answer.error == (403, "permission", "drives")
    assert await listed(api, "/servers/") == [server]
    assert (await shown(api, f"/servers/{server}/"))["drives"] == []


async def test_a_library_cdrom_can_be_attached_by_everybody(api: Api, tmp_path: Path):
    """Servers of several accounts mount it, clones too; it shows none of them, and stays."""
    cdrom = await add_cdrom(api, tmp_path)
    before = await shown(api, f"/drives/{cdrom}/")
    servers = {}
    for account in (ALICE, BOB):
        servers[account] = await api.server(drives=[mount(cdrom)], by=account)
    copy = (await api.post(f"/servers/{servers[ALICE]}/action/?do=clone")).json
    assert [each["drive"] for each in copy["drives"]] == [reference("drives", cdrom)]
    assert await shown(api, f"/drives/{cdrom}/") == before
    started = await api.post(f"/servers/{copy['uuid']}/action/?do=start")
    assert started.status == 202

    path = f"/servers/{servers[ALICE]}/?recurse=all_drives"
    assert (await api.delete(path)).status == 204
    assert await shown(api, f"/drives/{cdrom}/") == before
    assert (await api.get(f"/servers/{servers[BOB]}/", by=BOB)).json["drives"] == [
        {"boot_order": None, "runtime": None, **mount(cdrom), "drive": reference("drives", cdrom)}
    ]


async def test_nobody_changes_the_library(api: Api, tmp_path: Path):
    """To change, resize, tag or delete a library drive is refused, and nothing happens."""
    uuid = await add(api, tmp_path)
    before = await shown(api, f"/drives/{uuid}/")
    answers = [
        await api.put(f"/drives/{uuid}/", {"name": "mine"}),
        await api.post(f"/drives/{uuid}/action/?do=resize", {"size": 1024**3}),
        await api.delete(f"/drives/{uuid}/"),
        await api.delete("/drives/", {"objects": [uuid]}),
        await api.post("/tags/", {"name": "t", "resources": [uuid]}),
    ]
    assert {answer.status for answer in answers} <= {403, 404}
    assert await shown(api, f"/drives/{uuid}/") == before


@in_turn("action", ["clone", "resize", "start"])
async def test_an_action_on_what_is_not_in_the_library(api: Api, action: str):
    """An action on something else below /libdrives/ is a 404, on one's own drive too."""
    for uuid in (UNKNOWN, await api.drive()):
        answer = await api.post(f"/libdrives/{uuid}/action/?do={action}")
        assert answer.error == (404, "notexist", None)
