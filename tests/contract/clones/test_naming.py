"""What clones are called that are given no name: tests/contract/CONTRACT.md 2.7, over HTTP."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.api.calling import BOB, Api
from tests.contract.following import shown
from tests.harness.cases import in_turn


async def name_clones_by(api: Api, naming: str) -> None:
    assert (await api.put("/profile/", {"clone_naming": naming})).status == 200


async def cloned_drive(api: Api, source: str, body: Any = None) -> str:
    """The name of a new clone of a drive."""
    answer = await api.post(f"/drives/{source}/action/?do=clone", body)
    assert answer.status == 202, answer.body
    return str(answer.json["objects"][0]["name"])


async def test_none_is_the_default(api: Api):
    """An account that has chosen nothing gives clones their source's name."""
    assert (await shown(api, "/profile/"))["clone_naming"] == "NONE"
    assert await cloned_drive(api, await api.drive(name="ember")) == "ember"


@in_turn(
    ("name", "clone"),
    [
        ("ember", "ember_1"),
        ("ember_1", "ember_2"),
        ("ember_9", "ember_10"),
        ("disk7", "disk7_1"),
        ("ember-2026-04-17", "ember-2026-04-17_1"),
        ("", "_1"),
    ],
)
async def test_counter(api: Api, name: str, clone: str):
    """COUNTER appends `_1`, or raises the number behind a `_` at the very end."""
    await name_clones_by(api, "COUNTER")
    assert await cloned_drive(api, await api.drive(name=name)) == clone


async def test_date(api: Api):
    """DATE appends today's date in UTC, replaces another, and counts behind today's."""
    await name_clones_by(api, "DATE")
    today = datetime.now(UTC).date()
    while True:
        names = [
            await cloned_drive(api, await api.drive(name=name))
            for name in ("ember", "x-2001-02-03", "x-2001-02-03_3", f"x-{today}", f"x-{today}_1")
        ]
        if datetime.now(UTC).date() == today:
            break
        today += timedelta(days=1)  # midnight has passed: once more
    assert names == [f"ember-{today}", f"x-{today}", f"x-{today}", f"x-{today}_1", f"x-{today}_2"]


async def test_timestamp(api: Api):
    """TIMESTAMP appends the moment in UTC, with a blank, and replaces an earlier one."""
    await name_clones_by(api, "TIMESTAMP")
    earliest = datetime.now(UTC).replace(microsecond=0)
    for source in ("ember", "ember-2001-02-03 04:05:06", "ember-2001-02-03 04:05:06_7"):
        name = await cloned_drive(api, await api.drive(name=source))
        found = re.fullmatch(r"ember-(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)", name)
        assert found is not None, name
        moment = datetime.fromisoformat(f"{found[1]}+00:00")
        assert earliest <= moment <= datetime.now(UTC)


@in_turn("naming", ["NONE", "COUNTER", "DATE", "TIMESTAMP"])
async def test_a_given_name_is_taken_verbatim(api: Api, naming: str):
    """Whatever the strategy, a name that is given is the clone's, be it empty."""
    await name_clones_by(api, naming)
    source = await api.drive(name="ember")
    for name in ("opal", "ember_1", ""):
        assert await cloned_drive(api, source, {"name": name}) == name


async def test_null_is_no_name(api: Api):
    """`"name": null` is not given, so the strategy names the clone."""
    await name_clones_by(api, "COUNTER")
    assert await cloned_drive(api, await api.drive(name="ember"), {"name": None}) == "ember_1"


@in_turn(("body", "server"), [({}, "elm_1"), ({"name": "opal"}, "opal")])
async def test_the_disks_of_a_server_clone_are_always_named_so(
    api: Api, body: dict[str, str], server: str
):
    """The server's name by the strategy only if none is given, each cloned disk's in any case."""
    await name_clones_by(api, "COUNTER")
    disks = [await api.drive(name=name) for name in ("ember", "opal_4")]
    cdrom = await api.drive(name="tools", media="cdrom")
    source = await api.server(*disks, cdrom, name="elm")
    copy = (await api.post(f"/servers/{source}/action/?do=clone", body)).json
    assert copy["name"] == server
    names = [(await shown(api, mount["drive"]["resource_uri"]))["name"] for mount in copy["drives"]]
    assert names == ["ember_1", "opal_5", "tools"]


async def test_names_need_not_be_unique(api: Api):
    """Two clones of one drive get the same name: other drives are not looked at."""
    await name_clones_by(api, "COUNTER")
    source = await api.drive(name="ember")
    assert [await cloned_drive(api, source) for _ in range(2)] == ["ember_1", "ember_1"]


async def test_each_account_names_its_own_clones(api: Api):
    """What one account chooses is nothing to another."""
    await name_clones_by(api, "COUNTER")
    source = await api.drive(name="ember", by=BOB)
    answer = await api.post(f"/drives/{source}/action/?do=clone", by=BOB)
    assert answer.json["objects"][0]["name"] == "ember"
