"""PUT of several drives or servers, and resize as a full update: CONTRACT.md 3.2 and 3.4."""

from typing import Any

import pytest

from tests.api.calling import BOB, SIZE, UNKNOWN, Api
from tests.contract.following import settled, shown

KINDS = pytest.mark.parametrize("kind", ["drives", "servers"])


async def several(api: Api, kind: str) -> list[str]:
    make = api.drive if kind == "drives" else api.server
    return [await make(name=name) for name in ("one", "two")]


@KINDS
@pytest.mark.parametrize("wrapping", ["objects", "list"])
async def test_several_are_changed_at_once(api: Api, kind: str, wrapping: str):
    """Each is named by its uuid; the answer has them in this order, as PUT of one shows it."""
    one, two = await several(api, kind)
    wholes = [await shown(api, f"/{kind}/{uuid}/") for uuid in (two, one)]
    edits: Any = [{**wholes[0], "name": "new"}, {"uuid": one, "meta": {"a": "b"}}]
    answer = await api.put(f"/{kind}/", {"objects": edits} if wrapping == "objects" else edits)
    assert answer.status == 200, answer.body
    changed = [{**wholes[0], "name": "new"}, {**wholes[1], "meta": {"a": "b"}}]
    assert answer.json == {"objects": changed}
    assert [await shown(api, f"/{kind}/{uuid}/") for uuid in (two, one)] == changed


@KINDS
async def test_all_are_changed_or_none(api: Api, kind: str):
    """If one is unknown, another's, or wrong; each must be named, and once."""
    one, two = await several(api, kind)
    theirs = await (api.drive if kind == "drives" else api.server)(by=BOB)
    before = [await shown(api, f"/{kind}/{uuid}/") for uuid in (one, two)]
    edit = {"uuid": one, "name": "new"}
    for others, error in (
        ([{"uuid": UNKNOWN}], (404, "notexist", None)),
        ([{"uuid": theirs}], (404, "notexist", None)),
        ([{"uuid": two, "tags": [UNKNOWN]}], (400, "validation", "tags")),
        ([{"uuid": two, "name": 5}], (400, "validation", "name")),
        ([{"name": "x"}], (400, "validation", "uuid")),
        ([{"uuid": "two"}], (400, "validation", "uuid")),
        ([{"uuid": one.upper()}], (400, "validation", "objects")),
    ):
        assert (await api.put(f"/{kind}/", [edit, *others])).error == error
    assert (await api.put(f"/{kind}/", [])).error == (400, "validation", "objects")
    assert [await shown(api, f"/{kind}/{uuid}/") for uuid in (one, two)] == before


async def test_resize_is_a_full_update(api: Api):
    """It changes the name and the rest with the size, and needs a size; a PUT needs none."""
    drive = await api.drive(meta={"a": "b"})
    said = {"name": "new", "meta": {"c": "d"}, "media": "cdrom", "allow_multimount": True}
    path = f"/drives/{drive}/action/?do=resize"
    assert (await api.post(path, said)).error == (400, "validation", "size")
    answer = await api.post(path, {**said, "size": 2 * SIZE})
    assert answer.status == 202
    done = await settled(api, drive, "resizing")
    assert {key: done[key] for key in said} == said
    assert done["size"] == 2 * SIZE


async def test_resize_changes_nothing_if_it_cannot_change_all(api: Api):
    """While its server runs, where a PUT would change the name only."""
    drive = await api.drive(name="old")
    server = await api.server(drive)
    await api.post(f"/servers/{server}/action/?do=start")
    said = {"name": "new", "size": 2 * SIZE}
    answer = await api.post(f"/drives/{drive}/action/?do=resize", said)
    assert answer.error == (403, "permission", None)
    assert (await shown(api, f"/drives/{drive}/"))["name"] == "old"
