"""PUT of several drives or servers, and resize as a full update: CONTRACT.md 3.2 and 3.4."""

import pytest

from tests.api.calling import BOB, SIZE, UNKNOWN, Api
from tests.contract.following import settled, shown
from tests.harness.cases import in_turn

KINDS = ("drives", "servers")


async def several(api: Api, kind: str) -> list[str]:
    make = api.drive if kind == "drives" else api.server
    return [await make(name=name) for name in ("one", "two")]


async def test_several_are_changed_at_once(api: Api):
    """Each is named by its uuid; the answer has them in this order, as PUT of one shows it."""
    for kind in KINDS:
        one, two = await several(api, kind)
        wholes = [await shown(api, f"/{kind}/{uuid}/") for uuid in (two, one)]
        edits = [{**wholes[0], "name": "new"}, {"uuid": one, "meta": {"a": "b"}}]
        changed = [{**wholes[0], "name": "new"}, {**wholes[1], "meta": {"a": "b"}}]
        for body in (edits, {"objects": edits}):
            answer = await api.put(f"/{kind}/", body)
            assert (answer.status, answer.json) == (200, {"objects": changed})
        assert [await shown(api, f"/{kind}/{uuid}/") for uuid in (two, one)] == changed


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
@in_turn("kind", KINDS)
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
    """It needs a size, and changes the rest with it; all, or nothing while its server runs."""
    drive = await api.drive(meta={"a": "b"})
    said = {"name": "new", "meta": {"c": "d"}, "media": "cdrom", "allow_multimount": True}
    path = f"/drives/{drive}/action/?do=resize"
    assert (await api.post(path, said)).error == (400, "validation", "size")
    answer = await api.post(path, {**said, "size": 2 * SIZE})
    assert answer.status == 202
    done = await settled(api, drive, "resizing")
    assert {key: done[key] for key in said} == said
    assert done["size"] == 2 * SIZE

    server = await api.server(drive)
    await api.post(f"/servers/{server}/action/?do=start")
    refused = await api.post(path, {"name": "newer", "size": 3 * SIZE})
    assert refused.error == (403, "permission", None)
    assert (await shown(api, f"/drives/{drive}/"))["name"] == "new"
