"""A compaction that is half done: the service starts, and every request and command is answered.

Here it deletes one event at a time. It stops where a stream of each kind has just lost its first
event, in the long run after every event; then a service starts, beside a left-over image.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from signal import SIGKILL

import pytest

import api.background.retention
from projections.maintenance.retention.compaction import ARCHIVES
from projections.maintenance.retention.sweep import RetentionStopped
from tests.api.begun import begin_as, begun
from tests.api.calling import AUDITOR
from tests.faults.slices import (
    Asking,
    Before,
    Dead,
    Place,
    ask_before,
    check,
    compact_until,
    is_over,
    make_dead,
    stops,
)
from tests.support.processes import ROOT, environment
from tests.support.unsynced import not_synced
from tests.support.wait import PATIENCE_S, wait_until

__all__ = ["begun"]

NEVER_S = 1e6
IN_POSTGRES = {"drive", "job"}
"""The kinds at which it is stopped in PostgreSQL, where a start and a rebuild take longer."""


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path, begun: Path) -> Iterator[Place]:
    """Return where a ledger is, whose services discard nothing by themselves."""
    store = None
    if request.param == "postgres":
        store = request.getfixturevalue("ledger_database")
    else:
        begin_as(begun, tmp_path)
    tmp_path.chmod(0o700)
    with pytest.MonkeyPatch.context() as patch, not_synced():
        patch.setattr(api.background.retention, "START_S", NEVER_S)
        yield Place(tmp_path, store)


def leave_image(place: Place, dead: Dead) -> None:
    place.pool.image(dead.drive).touch()


def kill_at(gone: int, place: Place) -> int:
    words = ("-m", "tests.faults.compacting", place.data, place.store or "", str(gone))
    killed = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env=environment(),
        timeout=PATIENCE_S,
        check=False,
    )
    return killed.returncode


async def test_a_compaction_stopped_after_any_slice(
    place: Place, request: pytest.FixtureRequest
) -> None:
    """Each command and URL answers as before or with 404, and the ledger is sound."""
    async with Asking(place) as asking:
        dead = await make_dead(asking.api)
        before = await ask_before(asking, dead)
        by_kind = stops(asking.service)
    if place.store is not None:
        by_kind = {kind: gone for kind, gone in by_kind.items() if kind in IN_POSTGRES}
    last = max(by_kind.values())
    gone = range(1, last) if request.config.getoption("--long") else sorted(by_kind.values())
    for one in gone:
        leave_image(place, dead)
        async with Asking(place) as asking:
            with pytest.raises(RetentionStopped):
                await asyncio.to_thread(
                    compact_until, asking.service.ledger, place.data / ARCHIVES, one, lambda: True
                )
        async with Asking(place) as asking:
            await check(asking, dead, before)


async def test_a_compaction_that_was_killed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service starts, answers, and soon finishes the compaction."""
    async with Asking(place) as asking:
        dead = await make_dead(asking.api)
        before = await ask_before(asking, dead)
        gone = stops(asking.service)["drive"]
    assert kill_at(gone, place) == -SIGKILL
    leave_image(place, dead)
    async with Asking(place) as asking:
        assert not is_over(asking.service)
        await check(asking, dead, before)
    await check_finished(place, dead, before, monkeypatch)


async def check_finished(
    place: Place, dead: Dead, before: Before, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Start a service that does not wait ten seconds, and check it when the compaction is over."""
    monkeypatch.setattr(api.background.retention, "START_S", 0.0)
    async with Asking(place) as asking:

        async def over() -> bool:
            return is_over(asking.service)

        await wait_until("the compaction is finished", over)
    monkeypatch.setattr(api.background.retention, "START_S", NEVER_S)
    async with Asking(place) as asking:
        await check(asking, dead, before)


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
async def test_a_fifo_by_the_name_of_the_archive(place: Place) -> None:
    """Requests that need the archive are answered in words, and wait for nobody to write."""
    async with Asking(place) as asking:
        dead = await make_dead(asking.api)
        await asyncio.to_thread(asking.service.retention.run)
        for archive in (place.data / ARCHIVES).iterdir():
            archive.unlink()
            os.mkfifo(archive)
        async with asyncio.timeout(PATIENCE_S):
            past = await asking.api.get(f"/jobs/{dead.job}/history/")
            standing = await asking.api.get("/ledger/retention/", by=AUDITOR)
    assert past.error[:2] == (503, "backend")
    assert standing.status == 200
    assert len(standing.json["unreadable"]) == 3
