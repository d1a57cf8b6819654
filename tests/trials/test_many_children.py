"""Thousands of jobs of one parent that end at once, through two nodes: none is refused."""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from projections.audit.replay import replay
from tests.api.calling import BOB
from tests.support.producing import group, running
from tests.v1.calling import V1
from tests.v1.families import Family
from tests.v1.test_two_nodes import two_nodes

AT_ONCE = 64
"""Requests that wait at the same time."""
OUTCOMES = ("succeeded", "succeeded", "failed", "cancelled")


@pytest.fixture
async def nodes(tmp_path: Path, ledger_database: str) -> AsyncIterator[tuple[V1, V1]]:
    """Of which an account may have a job more than 10,000 that run: the one above them."""
    async with two_nodes(tmp_path, ledger_database, jobs_running_per_account=0) as both:
        yield both


@pytest.mark.parametrize("children", [200, pytest.param(10_000, marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", ["group", "self"])
async def test_they_all_end(nodes: tuple[V1, V1], kind: str, children: int) -> None:
    """Each end is acknowledged, the parent counts them, and others go on meanwhile."""
    here, there = nodes
    family = Family(here)
    parent = group("above", expect=children) if kind == "group" else running("above")
    await family.register(parent)
    names = [f"j{nth}" for nth in range(children)]
    began = time.monotonic()
    await in_turns(names, lambda nth, name: family.register(running(name, "above")))
    registered_s = time.monotonic() - began
    ended: list[int] = []

    async def end(nth: int, name: str) -> None:
        body = {"attempt": 1, "outcome": OUTCOMES[nth % len(OUTCOMES)]}
        answer = await nodes[nth % 2].post(f"/jobs/{family[name]}/end", body)
        ended.append(answer.status)

    began = time.monotonic()
    others = asyncio.create_task(of_another(there))
    await in_turns(names, end)
    took_s = time.monotonic() - began
    others.cancel()
    longest_s, count = await others
    sys.stdout.write(
        f"{children} below a {kind}: registered in {registered_s:.1f} s, ended in {took_s:.1f} s,"
        f" {count} commands of another account, the longest {longest_s:.2f} s\n"
    )
    assert Counter(ended) == {200: children}
    if kind == "group":
        await family.until_ended("above")
        assert family.ended("above") == ("failed", "children")
    for each in nodes:
        counts = (await each.get(f"/jobs/{family['above']}")).json["children"]
        assert counts == {
            "total": children,
            "running": 0,
            "succeeded": children // 2,
            "failed": children // 4,
            "cancelled": children // 4,
        }
    shown = [job async for job in below(there, family["above"])]
    assert sorted(shown) == sorted(family[name] for name in names)
    log = here.service.ledger.log
    audit = await asyncio.to_thread(replay, log, lambda *_: None)
    assert audit.divergence is None


async def in_turns(names: list[str], do: Callable[[int, str], Awaitable[None]]) -> None:
    """Do it for all of them, many at a time."""
    left = iter(enumerate(names))

    async def work() -> None:
        for nth, name in left:
            await do(nth, name)

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))


async def of_another(node: V1) -> tuple[float, int]:
    """Register jobs of another account until this is cancelled; return the longest wait."""
    longest_s, count = 0.0, 0
    try:
        while True:
            began = time.monotonic()
            answer = await node.post("/jobs", {"operation": "other"}, by=BOB)
            assert answer.status == 201
            longest_s, count = max(longest_s, time.monotonic() - began), count + 1
            await asyncio.sleep(0.01)
    except asyncio.CancelledError:
        return longest_s, count


async def below(node: V1, parent: str) -> AsyncIterator[str]:
    path = f"/jobs?parent={parent}&limit=100"
    page = (await node.get(path)).json
    while True:
        for job in page["jobs"]:
            yield job["uuid"]
        if page["next"] is None:
            return
        page = (await node.get(f"{path}&after={page['next']}")).json
