"""`X-Ledger-Position`: the position that an answer reflects."""

import asyncio
from typing import Any

import pytest

from ledger.application import Ledger
from ledger.domain.commands import Command
from ledger.domain.commands.jobs import CreateJob
from ledger.store.writer import Caller
from projections.shown.families import Families
from tests.api.calling import ALICE, DRIVE, SERVER, UNKNOWN, WORKER, Answer, Api
from tests.harness.cases import in_turn


def position(answer: Answer) -> int:
    return int(answer.headers["X-Ledger-Position"])


async def commit_something(api: Api) -> int:
    """What a stranger does meanwhile; the position it comes to."""
    command = CreateJob("stranger", api.service.new_id(), "drive_clone", (), None)
    return await api.service.ledger.execute(command, WORKER)


@in_turn(
    "path",
    [
        "/jobs/",
        "/jobs/?limit=0",
        "/drives/detail/",
        "/jobs/schema/",
        "/nothing/",
        f"/jobs/{UNKNOWN}/",
    ],
)
async def test_every_answer_has_a_position(api: Api, path: str):
    """Also a refusal, even without a login; it is the newest position."""
    newest = await commit_something(api)
    for by in (ALICE, None):
        for method in ("GET", "HEAD", "OPTIONS", "POST"):
            assert position(await api.call(method, path, by=by)) == newest


@pytest.mark.usefixtures("always_streamed")
async def test_a_streamed_list_has_a_position(api: Api):
    """A list that is sent in pieces tells it too."""
    newest = await commit_something(api)
    answer = await api.get("/jobs/?limit=0")
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert position(answer) == newest


async def test_a_command_answers_with_its_own_position(api: Api, monkeypatch: pytest.MonkeyPatch):
    """Whatever a stranger commits before the answer is sent, the position is the command's."""
    execute = Ledger.execute
    reached: list[int] = []

    async def overtaken(self: Ledger, command: Command, by: Caller) -> int:
        reached.append(await execute(self, command, by))
        await execute(self, CreateJob("stranger", api.service.new_id(), "x", (), None), WORKER)
        return reached[-1]

    source = await api.drive()
    monkeypatch.setattr(Ledger, "execute", overtaken)
    tag = {"name": "green", "resources": [source]}
    answers = [
        await api.post("/drives/", DRIVE),
        await api.post(f"/drives/{source}/action/?do=clone"),
        await api.post("/servers/", SERVER),
        await api.post("/tags/", tag),
        await api.call("PUT", f"/drives/{source}/", json={"meta": {"a": "b"}}),
        await api.post("/drives/upload/", data=b"x" * 512),
        await api.delete(f"/tags/{(await api.get('/tags/')).json['objects'][0]['uuid']}/"),
    ]
    assert [answer.status for answer in answers] == [201, 202, 201, 201, 200, 200, 204]
    assert [position(answer) for answer in answers] == reached


async def test_an_answer_is_at_least_as_new_as_its_position(
    api: Api, monkeypatch: pytest.MonkeyPatch
):
    """What is committed while a GET is under way may be in its answer, but is not promised."""
    before = await commit_something(api)
    job = Families.job
    hers = api.service.new_id()

    def overtaken(self: Families[Any], uuid: str, owner: str) -> object:
        api.service.ledger.execute_blocking(CreateJob(ALICE.uuid, hers, "x", (), None), WORKER)
        return job(self, uuid, owner)

    monkeypatch.setattr(Families, "job", overtaken)
    answer = await api.get(f"/jobs/{hers}/")
    assert (answer.status, answer.json["uuid"]) == (200, hers)
    assert position(answer) == before


async def test_a_get_after_a_command_is_as_new_as_the_command(api: Api):
    """Positions that one client sees never go back, however many requests run at once."""

    async def change() -> None:
        answer = await api.post("/drives/", DRIVE)
        assert position(await api.get("/drives/")) >= position(answer) > 0

    await asyncio.gather(*(change() for _ in range(8)))
