"""Figures of real copies far down in a tree of jobs: each level tells what the lowest one does.

The API clones a server as a job of its own, never below another one. Here that job is put at the
end of a chain, so that the disks' jobs are on the last level that the ledger allows.
"""

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from api.app import make_app
from api.composition import open_service
from api.service.settings import Settings
from ledger.domain.commands.jobs import CreateJob
from ledger.domain.context import Change, State
from ledger.domain.decisions import clone
from ledger.domain.decisions.jobs import DEPTH_LIMIT, begin_job
from tests.acceptance.client import BLOCK, data_blocks, striped
from tests.acceptance.figures import LOOKS_S, Told, check_time_left, check_told
from tests.api.calling import ALICE, WORKER, Api, KnownAccounts
from tests.support.api_server import ApiServer
from tests.support.wait import wait_until

RATE = 512 * 1024
DISKS = 3
ABOVE = DEPTH_LIMIT - 2
"""Levels above that of the server's clone, below which are those of its disks."""
SAME = ("phase", "progress", "bytes_done", "bytes_total", "bytes_per_s", "eta_s")


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    settings = Settings(data=tmp_path, copy_rate=RATE, reserve=0)
    async with open_service(settings) as opened:
        service = replace(opened, accounts=KnownAccounts(ALICE))
        async with TestClient(ApiServer(make_app(service))) as client:
            yield Api(client, service)


async def chain(api: Api) -> list[str]:
    """Jobs of somebody else's operation, each below the one before it."""
    jobs = [api.service.new_id() for _ in range(ABOVE)]
    for above, job in zip([None, *jobs], jobs, strict=False):
        await api.service.ledger.execute(
            CreateJob(ALICE.uuid, job, "fleet_clone", parent=above), WORKER
        )
    return jobs


def below(parent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the clone of a server is a job below this one."""

    def begin(state: State, uuid: str, operation: str, **more: Any) -> Iterator[Change]:
        if operation == "server_clone":
            more["parent"] = parent
        yield from begin_job(state, uuid, operation, **more)

    monkeypatch.setattr(clone, "begin_job", begin)


async def upload(api: Api, content: bytes) -> str:
    answer = await api.post("/drives/upload/", data=BytesIO(content))
    assert answer.status == 200, answer.body
    return answer.body.decode().strip()


async def test_each_level_tells_what_the_lowest_does(
    api: Api, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    blocks = 64 if request.config.getoption("--long") else 8
    images = [data_blocks(blocks), striped(blocks), data_blocks(blocks, 2)]
    server = await api.server(*[await upload(api, image) for image in images])
    jobs = await chain(api)
    below(jobs[-1], monkeypatch)
    answer = await api.post(f"/servers/{server}/action/?do=clone")
    assert answer.status == 202, answer.body
    seen: list[Told] = []

    async def has_ended() -> bool:
        asked = time.monotonic()
        shown = (await api.get(f"/jobs/{jobs[0]}/")).json
        seen.append(Told(asked, time.monotonic(), shown))
        return bool(shown["state"] != "started")

    await wait_until("the tree has ended", has_ended, pause_s=LOOKS_S)
    total = DISKS * blocks * BLOCK
    check_told([told.job for told in seen], total)
    check_time_left(seen, total)
    for told in seen:
        level = told.job
        for _ in range(ABOVE):
            (level,) = level["children"]
            assert [level["data"].get(name) for name in SAME] == [
                told.data.get(name) for name in SAME
            ]
        assert len(level["children"]) == DISKS
