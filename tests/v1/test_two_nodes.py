"""Requests through two nodes of one ledger in PostgreSQL, at the same moment."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from api.app import make_app
from api.composition import open_service
from api.service.settings import Settings
from ledger.domain.producers.commands import EndJob
from ledger.proofs.keys import KEY_FILE, VERIFIER_FILE
from tests.api.calling import ALICE, BOB, KnownAccounts
from tests.api.unhurried import unhurried
from tests.support.api_server import ApiServer
from tests.support.producing import STOPPED, group, queued, running
from tests.support.wait import wait_until
from tests.v1.calling import V1, problem_of
from tests.v1.families import Family
from tests.v1.meeting import meet
from tests.v1.test_registration import HERE, JOB


@asynccontextmanager
async def node(data: Path, store: str, **limits: int) -> AsyncIterator[V1]:
    settings = Settings(data=data, store=store, copying=False, limits=unhurried(**limits))
    async with open_service(settings) as opened:
        service = replace(opened, accounts=KnownAccounts(ALICE, BOB))
        async with TestClient(ApiServer(make_app(service))) as client:
            yield V1(client, service)


@pytest.fixture
async def nodes(tmp_path: Path, ledger_database: str) -> AsyncIterator[tuple[V1, V1]]:
    async with two_nodes(tmp_path, ledger_database) as both:
        yield both


@asynccontextmanager
async def two_nodes(directory: Path, store: str, **limits: int) -> AsyncIterator[tuple[V1, V1]]:
    here, there = directory / "here", directory / "there"
    here.mkdir()
    there.mkdir()
    async with node(here, store, **limits) as one:
        for name in (KEY_FILE, VERIFIER_FILE):
            shutil.copy2(here / name, there / name)
        async with node(there, store, **limits) as other:
            yield one, other


async def test_a_request_through_one_node_reaches_what_is_below_through_the_other(
    nodes: tuple[V1, V1],
) -> None:
    """Processes that wait there, jobs that register there afterwards, and groups."""
    here, there = nodes
    family = Family(there)
    await family.register(running("j"), running("child", "j"), group("fan", "j", expect=2))
    url = f"/jobs/{family['child']}/control?wait=60"
    poll = asyncio.create_task(there.get(url))
    watchers = there.service.feed._stop_watchers
    await wait_until("it waits", lambda: watchers.count(family["j"]))
    answer = await here.post(f"/jobs/{family['j']}/cancel", {"note": "enough"})
    assert answer.status == 202
    assert (await poll).json["cancel"]["note"] == "enough"
    await family.register(queued("late", "j"))
    await family.until_ended("late", "fan")
    assert family.ended("fan") == ("cancelled", "requested")


async def test_both_nodes_may_be_asked_at_once(nodes: tuple[V1, V1]) -> None:
    """One request is recorded, whoever else asks or ends the job in the same instant."""
    here, there = nodes
    family = Family(here)
    names = [f"j{nth}" for nth in range(5)]
    await family.register(*map(running, names))
    asked = [
        asyncio.create_task(one.post(f"/jobs/{family[name]}/cancel", {}))
        for name in names
        for one in nodes
    ]
    await asyncio.gather(*asked, *(there.do(EndJob(family[n], 1, STOPPED)) for n in names))
    for poll in asked:
        assert poll.result().status in (200, 202, 409)
    with here.service.ledger.log() as log:
        for name in names:
            topics = [topic for _, topic, _ in log.stream(f"job-{family[name]}")]
            assert topics.count("job-cancel-requested/1") <= 1
            assert sum(topic.startswith("job-cancelled/") for topic in topics) == 1


@pytest.mark.parametrize("more", [{}, {"end": {"outcome": "succeeded"}}], ids=["begins", "is over"])
async def test_of_registrations_that_are_the_same_one_is_new(
    nodes: tuple[V1, V1], monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]
) -> None:
    """Twice through each node, before any of them is recorded: one job, with one token."""
    meet(monkeypatch, 4, *(each.service.ledger for each in nodes))
    puts = (each.put(f"/jobs/{JOB}", {**HERE, **more}) for each in (*nodes, *nodes))
    answers = await asyncio.gather(*puts)
    assert sorted(each.status for each in answers) == [200, 200, 200, 201]
    assert len({(each.json["job"]["uuid"], each.json["token"]) for each in answers}) == 1
    monkeypatch.undo()
    named = {**HERE, **more, "source": "//nas", "external_id": "photos@1"}
    meet(monkeypatch, 4, *(each.service.ledger for each in nodes))
    answers = await asyncio.gather(*(each.post("/jobs", named) for each in (*nodes, *nodes)))
    assert sorted(each.status for each in answers) == [200, 200, 200, 201]
    assert len({each.json["job"]["uuid"] for each in answers}) == 1


async def test_of_registrations_by_two_processes_one_is_refused(
    nodes: tuple[V1, V1], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two instances never share an attempt."""
    meet(monkeypatch, 2, *(each.service.ledger for each in nodes))
    said = ({**HERE, "instance": name} for name in ("here", "there"))
    puts = (one.put(f"/jobs/{JOB}", body) for one, body in zip(nodes, said, strict=True))
    answers = await asyncio.gather(*puts)
    assert sorted(each.status for each in answers) == [201, 409]
    (refused,) = (problem_of(each) for each in answers if each.status == 409)
    assert (refused["type"], refused["attempt"]) == ("already-registered", 1)


async def test_two_workers_take_up_the_same_job(
    nodes: tuple[V1, V1], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One has it, and is told so however often it asks at once; the other hears whose it is."""
    await nodes[0].put(f"/jobs/{JOB}", {**HERE, "queued": True})
    meet(monkeypatch, 4, *(each.service.ledger for each in nodes))
    takes = (
        one.post(f"/jobs/{JOB}/attempts", {"after": 0, "instance": name})
        for one in nodes
        for name in ("worker", "other")
    )
    answers = await asyncio.gather(*takes)
    assert sorted(each.status for each in answers) == [200, 201, 409, 409]
    assert {problem_of(each)["type"] for each in answers if each.status == 409} == {"attempt-taken"}
    assert len({each.json["token"] for each in answers if each.status < 300}) == 1
