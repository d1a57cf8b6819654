"""`/logs/`: tests/contract/CONTRACT.md 5."""

import re

from tests.api.calling import ALICE, BOB, Api
from tests.contract.following import Json, reference, shown

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}\+00:00")


async def entries(api: Api, query: str = "") -> list[Json]:
    found: list[Json] = (await shown(api, f"/logs/{query}"))["objects"]
    return found


async def told(api: Api, uuid: str) -> list[str]:
    """What the log tells of one thing, the newest first."""
    return [each["action"] for each in await entries(api, "?limit=0") if each["uuid"] == uuid]


async def test_what_is_done_to_a_drive(api: Api):
    """create, update (a resize is one) and delete, the newest first."""
    drive = await api.drive()
    await api.put(f"/drives/{drive}/", {"name": "new"})
    await api.server(drive)
    await api.delete(f"/drives/{drive}/")
    assert await told(api, drive) == ["delete", "update", "create"]


async def test_a_clone_is_told_of_both_its_drives(api: Api):
    """clone_dst of the destination above clone_src of the source, at one moment, by the caller."""
    source = await api.drive()
    destination, _ = await api.clone(source)
    first, second = (await entries(api))[:2]
    assert (first["action"], first["uuid"]) == ("clone_dst", destination)
    assert (second["action"], second["uuid"]) == ("clone_src", source)
    assert first["timestamp"] == second["timestamp"]
    assert {each["category"] for each in (first, second)} == {"Drives"}
    assert first["actor"] == reference("user", ALICE.uuid)


async def test_what_is_done_to_a_server(api: Api):
    """start_send and boot, stop_send and stop, clone_src and clone_dst, category Servers."""
    server = await api.server()
    for action in ("start", "restart", "shutdown", "start", "stop"):
        await api.post(f"/servers/{server}/action/?do={action}")
    copy = (await api.post(f"/servers/{server}/action/?do=clone")).json["uuid"]
    await api.delete(f"/servers/{server}/")
    starts, stops = ["boot", "start_send"], ["stop", "stop_send"]
    switched = [*stops, *starts, *stops, *starts, *stops, *starts]
    assert await told(api, server) == ["delete", "clone_src", *switched, "create"]
    assert "clone_dst" in await told(api, copy)
    assert {each["category"] for each in await entries(api)} == {"Servers"}


async def test_the_form_of_an_entry(api: Api):
    """A timestamp has a blank instead of the T; what went well has no error."""
    await api.server()
    (entry,) = await entries(api)
    assert TIMESTAMP.fullmatch(entry["timestamp"])
    assert (entry["success"], entry["error_type"], entry["error_point"]) == (True, None, None)
    assert (entry["error_message"], entry["details"]) == ("", "")


async def test_the_log_is_a_list(api: Api):
    """It has limit, offset, fields and a total as every list; pages are parts of the whole."""
    for name in "abcd":
        await api.server(name=name)
    whole = await entries(api, "?limit=0")
    for limit, expected in ((1, whole[1:2]), (3, whole[1:4]), (0, whole[1:])):
        page = await shown(api, f"/logs/?limit={limit}&offset=1&fields=uuid,action")
        assert page["meta"] == {"limit": limit, "offset": 1, "total_count": 4}
        assert page["objects"] == [
            {"uuid": each["uuid"], "action": each["action"]} for each in expected
        ]
    assert [each["timestamp"] for each in whole] == sorted(
        (each["timestamp"] for each in whole), reverse=True
    )


async def test_each_account_has_its_own_log(api: Api):
    """What another does is in another's log."""
    await api.server(by=BOB)
    assert await entries(api) == []
    assert (await api.get("/logs/", by=BOB)).json["meta"]["total_count"] == 1
