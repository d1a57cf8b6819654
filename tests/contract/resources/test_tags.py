"""`/tags/`: tests/contract/CONTRACT.md 5."""

from typing import Any

from tests.api.calling import ALICE, BOB, UNKNOWN, Api
from tests.contract.following import Json, listed, reference, shown
from tests.harness.cases import in_turn


async def new_tag(api: Api, *resources: Any, **said: Any) -> Json:
    body = {"name": "fleet", "resources": list(resources), **said}
    answer = await api.post("/tags/", body)
    assert answer.status == 201, answer.body
    (tag,) = answer.json["objects"]
    found: Json = tag
    return found


def tagged(kind: str, uuid: str) -> Json:
    """How a tag shows what bears it."""
    return {
        **reference(kind, uuid),
        "owner": reference("user", ALICE.uuid),
        "res_type": kind,
    }


@in_turn("wrapping", ["bare", "list", "objects"])
async def test_create_takes_any_wrapping(api: Api, wrapping: str):
    """One bare object, a list or `objects` make a tag; the answer is always 201 `objects`."""
    bare: Any = {"name": "fleet", "meta": {"a": "b"}}
    body = {"bare": bare, "list": [bare], "objects": {"objects": [bare]}}[wrapping]
    answer = await api.post("/tags/", body)
    assert (answer.status, set(answer.json)) == (201, {"objects"})
    (tag,) = answer.json["objects"]
    assert tag == {
        **bare,
        "owner": reference("user", ALICE.uuid),
        "resources": [],
        **reference("tags", tag["uuid"]),
    }
    assert answer.headers["Location"] == tag["resource_uri"]
    assert await shown(api, tag["resource_uri"]) == tag


async def test_resources_are_uuids_or_objects(api: Api):
    """`resources` are uuids as pycloudsigma, or objects as Go sends them, drives and servers."""
    drive, server = await api.drive(), await api.server()
    tag = await new_tag(api, drive, {**reference("servers", server), "res_type": "servers"})
    assert sorted(tag["resources"], key=lambda each: str(each["res_type"])) == [
        tagged("drives", drive),
        tagged("servers", server),
    ]
    for kind, uuid in (("drives", drive), ("servers", server)):
        assert (await shown(api, f"/{kind}/{uuid}/"))["tags"] == [reference("tags", tag["uuid"])]


async def test_create_is_all_or_none(api: Api):
    """If a resource does not exist, or is another's, none of the tags is made: 404."""
    foreign = await api.drive(by=BOB)
    for uuid in (UNKNOWN, foreign):
        answer = await api.post("/tags/", [{"name": "a"}, {"name": "b", "resources": [uuid]}])
        assert answer.error == (404, "notexist", "resources")
    assert await listed(api, "/tags/") == []


async def test_put_is_partial(api: Api):
    """What is not given stays, meta and resources are replaced whole; a tag may be sent back."""
    first, second = await api.drive(), await api.drive()
    tag = await new_tag(api, first, meta={"a": "b"})
    uri = tag["resource_uri"]
    assert (await api.put(uri, tag)).json == tag
    assert (await api.put(uri, {})).json == tag
    assert (await api.put(uri, {"name": "new", "meta": None})).json == {**tag, "name": "new"}
    changed = (await api.put(uri, {"meta": {}, "resources": [second]})).json
    assert changed == {
        **tag,
        "name": "new",
        "meta": {},
        "resources": [tagged("drives", second)],
    }
    assert (await shown(api, f"/drives/{first}/"))["tags"] == []
    assert (await api.put(uri, {"resources": []})).json["resources"] == []


async def test_a_deleted_tag_is_gone_from_everything(api: Api):
    """After the 204 it is a 404, in no list, and borne by nothing."""
    drive, server = await api.drive(), await api.server()
    tag = await new_tag(api, drive, server)
    answer = await api.delete(tag["resource_uri"])
    assert (answer.status, answer.body) == (204, b"")
    assert (await api.get(tag["resource_uri"])).error == (404, "notexist", None)
    assert await listed(api, "/tags/") == []
    for uri in (f"/drives/{drive}/", f"/servers/{server}/"):
        assert (await shown(api, uri))["tags"] == []
    assert await listed(api, f"/drives/?tag={tag['uuid']}") == []


async def test_what_bears_a_tag_is_listed_by_kind(api: Api):
    """`/tags/{uuid}/drives/` and the like are lists of that kind, `detail/` shows them whole."""
    drives = [await api.drive() for _ in range(2)]
    server = await api.server()
    await api.drive()
    uri = (await new_tag(api, *drives, server))["resource_uri"]
    for detail in ("", "detail/"):
        assert await listed(api, f"{uri}drives/{detail}") == drives
        assert await listed(api, f"{uri}servers/{detail}?limit=0") == [server]
        for kind in ("ips", "vlans"):
            found = await shown(api, f"{uri}{kind}/{detail}")
            assert found == {"meta": {"limit": 20, "offset": 0, "total_count": 0}, "objects": []}
    whole = await shown(api, f"{uri}drives/detail/?limit=1&offset=1")
    assert whole["meta"] == {"limit": 1, "offset": 1, "total_count": 2}
    assert whole["objects"] == [await shown(api, f"/drives/{drives[1]}/")]
    (short,) = (await shown(api, f"{uri}servers/"))["objects"]
    assert set(short) == {"name", "owner", "resource_uri", "runtime", "status", "uuid"}
    assert (await api.get(f"/tags/{UNKNOWN}/drives/")).error == (404, "notexist", None)


async def test_tags_are_listed_and_filtered(api: Api):
    """`/tags/` and `/tags/detail/` show all of them, with `limit`, `fields` and names filtered."""
    tags = [await new_tag(api, name=name) for name in ("one", "two", "three, four")]
    for path in ("/tags/?limit=0", "/tags/detail/"):
        assert (await shown(api, path))["objects"] == tags
    uuids = [tag["uuid"] for tag in tags]
    assert await listed(api, "/tags/?name=two,one") == uuids[:2]
    assert await listed(api, r"/tags/?name=three\, four") == uuids[2:]
    assert await listed(api, "/tags/?name__contains=t") == uuids[1:]
    assert await listed(api, f"/tags/?uuid={uuids[1]}&fields=uuid") == uuids[1:2]
    assert (await shown(api, "/tags/?limit=1"))["meta"]["total_count"] == 3


@in_turn("kind", ["drives", "servers"])
async def test_things_are_filtered_by_tag(api: Api, kind: str):
    """`tag` is a tag's uuid and `tag__name` its name; commas are or, repetition is and."""
    first, second, third = [
        await (api.drive() if kind == "drives" else api.server()) for _ in range(3)
    ]
    one = (await new_tag(api, first, second, name="one"))["uuid"]
    two = (await new_tag(api, second, third, name="two"))["uuid"]
    assert await listed(api, f"/{kind}/?tag={one.upper()}") == [first, second]
    for name, (a, b) in {"tag": (one, two), "tag__name": ("one", "two")}.items():
        for detail in ("", "detail/"):
            path = f"/{kind}/{detail}"
            assert await listed(api, f"{path}?{name}={a}") == [first, second]
            assert await listed(api, f"{path}?{name}={a},{b}") == [first, second, third]
            assert await listed(api, f"{path}?{name}={a}&{name}={b}") == [second]
            assert await listed(api, f"{path}?{name}=none") == []


async def test_anothers_tag_of_the_same_name_selects_nothing(api: Api):
    """Filters by name see one's own tags only."""
    await api.post("/tags/", {"name": "fleet", "resources": [await api.drive(by=BOB)]}, by=BOB)
    await api.drive()
    assert await listed(api, "/drives/?tag__name=fleet") == []


async def test_a_deleted_resource_leaves_its_tag(api: Api):
    """A server that is deleted is a tag's resource no longer; a tag does not keep it."""
    server = await api.server()
    tag = await new_tag(api, server)
    assert (await api.delete(f"/servers/{server}/")).status == 204
    assert (await shown(api, tag["resource_uri"]))["resources"] == []
