"""Cancellation through two nodes of one ledger in PostgreSQL."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

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
from tests.v1.calling import V1
from tests.v1.families import Family


@asynccontextmanager
async def node(data: Path, store: str) -> AsyncIterator[V1]:
    settings = Settings(data=data, store=store, copying=False, limits=unhurried())
    async with open_service(settings) as opened:
        service = replace(opened, accounts=KnownAccounts(ALICE, BOB))
        async with TestClient(ApiServer(make_app(service))) as client:
            yield V1(client, service)


@pytest.fixture
async def nodes(tmp_path: Path, ledger_database: str) -> AsyncIterator[tuple[V1, V1]]:
    async with AsyncExitStack() as stack:
        here, there = tmp_path / "here", tmp_path / "there"
        here.mkdir()
        there.mkdir()
        one = await stack.enter_async_context(node(here, ledger_database))
        for name in (KEY_FILE, VERIFIER_FILE):
            shutil.copy2(here / name, there / name)
        yield one, await stack.enter_async_context(node(there, ledger_database))


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
