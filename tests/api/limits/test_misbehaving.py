"""Two accounts: one misbehaves in every way, and all that the other does succeeds.

What the other does is the tour of the README; the tour itself is run so by `tests/readme`.
"""

import asyncio
import os
from typing import Any

import pytest

from api.service.limits import Limits
from ledger.domain.commands.jobs import UpdateProgress
from tests.api.calling import ALICE, BOB, SERVER, Answer, Api, authorization
from tests.api.limits.misbehaving import Misbehaving, Target
from tests.api.listening import listening
from tests.support.wait import patience, wait_until

IMAGE = os.urandom(64 * 1024)
SCARCE = Limits(
    websockets_per_account=4,
    long_polls_per_account=4,
    uploads_per_account=2,
    downloads_per_account=2,
    unfinished_uploads_per_account=2,
    drives_per_account=40,
    tags_per_account=5,
    jobs_running_per_account=5,
)
REFUSED = {
    "_websockets",
    "_slow_uploads",
    "_unread_downloads",
    "_unfinished_uploads",
    "_drives",
    "_tags",
    "_bombs",
}
"""How it wants too much, in time."""


class Tour:
    """What a reader of the README does, step by step."""

    def __init__(self, api: Api) -> None:
        self.api = api

    async def ask(self, status: int, method: str, path: str, **given: Any) -> Answer:
        answer = await self.api.call(method, path, by=BOB, **given)
        assert answer.status == status, (method, path, answer.status, answer.body)
        return answer

    async def run(self) -> None:
        drive = (await self.ask(200, "POST", "/drives/upload/", data=IMAGE)).body.decode()
        copy, job = await self.clone(drive)
        assert (await self.ask(200, "GET", f"/drives/{drive}/download/")).body == IMAGE
        await self.clone_server(drive)
        await self.look(drive, job)
        await self.send_in_chunks()
        await self.ask(204, "DELETE", f"/drives/{copy}/")

    async def clone(self, drive: str) -> tuple[str, str]:
        """Begin it, and follow it by a websocket and a long poll."""
        async with listening(self.api, BOB) as listener:
            path = f"/drives/{drive}/action/?do=clone"
            (made,) = (await self.ask(202, "POST", path, json={})).json["objects"]
            job = made["jobs"][0]["uuid"]
            await self.api.begin(job)
            tag = (await self.ask(200, "GET", f"/jobs/{job}/")).headers["ETag"]
            path, known = f"/jobs/{job}/?wait=50", {"If-None-Match": tag}
            waiting = asyncio.create_task(self.ask(200, "GET", path, headers=known))
            await self.api.do(UpdateProgress(job, 1, 50))
            async with patience("the long poll"):
                assert (await waiting).json["data"]["progress"] == 50
            await self.api.succeed_begun(job)
            await listener.until_status(f"/api/2.0/drives/{made['uuid']}/", "unmounted")
        return made["uuid"], job

    async def clone_server(self, drive: str) -> None:
        mounts = [{"drive": drive, "device": "virtio", "dev_channel": "0:0"}]
        made = await self.ask(201, "POST", "/servers/", json={**SERVER, "drives": mounts})
        path = f"/servers/{made.json['objects'][0]['uuid']}/action/?do=clone"
        await self.ask(202, "POST", path, json={})

    async def look(self, drive: str, job: str) -> None:
        """At lists, the past, statistics and proofs."""
        for path in (
            "/drives/?limit=0&name__contains=e",
            f"/jobs/?resource={drive}&limit=2&after=",
            "/jobs/statistics/?hours=1",
            "/logs/",
            "/servers/detail/",
            "/ledger/checkpoint/",
            f"/jobs/{job}/history/?limit=0",
        ):
            found = await self.ask(200, "GET", path)
        position = found.json["objects"][0]["position"]
        await self.ask(200, "GET", f"/jobs/{job}/?as_of={position}")
        await self.ask(201, "POST", "/tags/", json={"name": "fleet", "resources": [drive]})

    async def send_in_chunks(self) -> None:
        body = {"name": "birch", "media": "disk", "size": len(IMAGE)}
        made = await self.ask(201, "POST", "/initupload/", json=body)
        path = f"/drives/{made.json['objects'][0]['uuid']}/action/?do=upload_chunk"
        chunk = {"chunk_number": 0, "chunk_size": len(IMAGE)}
        link = (await self.ask(200, "POST", path, json=chunk)).json["link"]
        await self.ask(200, "POST", link, data=IMAGE)


@pytest.mark.parametrize("limits", [SCARCE])
async def test_nothing_is_refused_to_an_account_beside_one_that_misbehaves(api: Api) -> None:
    server = api.client.server
    target = Target(server.host, server.port, authorization(ALICE), BOB.email, most=8)
    misbehaving = Misbehaving(target)
    async with misbehaving.at_it():
        await Tour(api).run()
        await wait_until("it has met its limits", lambda: misbehaving.refused >= REFUSED)
        await Tour(api).run()
