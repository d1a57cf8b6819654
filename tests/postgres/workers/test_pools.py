"""Pools that a node does not have: workers that have them do the work, or it is refused."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import psycopg
import pytest

from api.composition import open_service
from api.data.directory import DataUnusable
from api.doctor.checks import examine
from api.service.service import Service
from api.service.settings import Settings
from ledger.domain.commands.drives import CloneDrive, CreateDrives, NewDrive
from ledger.domain.errors.pools import NoPools, PoolElsewhere, PoolsApart, UnknownStorageType
from ledger.domain.events.drives import DriveDefinition
from ledger.images.pools import Pool
from tests.postgres.workers.fleet import ME, Fleet, fleet_on
from tests.support.wait import wait_for

MAIN, TAPE = "main", "tape"


@pytest.fixture
def fleet(database: str, tmp_path: Path) -> Iterator[Fleet]:
    pools = Pool(MAIN, tmp_path / MAIN), Pool(TAPE, tmp_path / TAPE, "zadara")
    with fleet_on(database, tmp_path, *pools) as fleet:
        yield fleet


@pytest.fixture
async def service(fleet: Fleet, tmp_path: Path) -> AsyncIterator[Service]:
    """A node without pools."""
    (tmp_path / "data").mkdir()
    settings = Settings(data=tmp_path / "data", store=fleet.url, copying=False)
    async with open_service(settings) as service:
        yield service


async def test_a_copy_between_two_pools_takes_a_worker_that_has_both(
    fleet: Fleet, service: Service
) -> None:
    """Otherwise it is refused, and the text names the pools; each at once, once a worker works."""
    source = fleet.source()
    clone = CloneDrive("me", source, "copy", "job", storage_type="zadara")
    with pytest.raises(NoPools):
        await service.ledger.execute(clone, ME)
    first = fleet.worker(pools=[MAIN]).wait_until_it_works()
    with pytest.raises(UnknownStorageType):
        await service.ledger.execute(clone, ME)
    second = fleet.worker(pools=[TAPE]).wait_until_it_works()
    with pytest.raises(PoolsApart, match="from pool main to pool tape: no worker has both"):
        await service.ledger.execute(clone, ME)
    for worker in (first, second):
        worker.kill()
    fleet.worker().wait_until_it_works()
    await service.ledger.execute(clone, ME)
    await asyncio.to_thread(fleet.wait_until, "success", ["job"])
    assert fleet.sha256("copy", TAPE) == fleet.sha256(source)


async def test_a_node_without_pools_refuses_images(fleet: Fleet, service: Service) -> None:
    """A blank drive it can; an image that is sent to it would have nowhere to go.

    A doctor misses a pool once no worker has it.
    """
    assert service.pools == {}
    worker = fleet.worker(pools=[MAIN]).wait_until_it_works()
    blank = DriveDefinition("blank", "disk", 2**20, "dssd")
    command = CreateDrives("me", (NewDrive("new", blank),), "blank")
    await service.ledger.execute(command, ME)
    chunked = CreateDrives("me", (NewDrive("other", blank),), "chunked")
    with pytest.raises(PoolElsewhere, match="pool main is not mounted on this node"):
        await service.ledger.execute(chunked, ME)

    async def sent() -> AsyncIterator[bytes]:
        yield b"x"

    record = partial(service.ledger.execute, by=ME)
    with pytest.raises(PoolElsewhere):
        await service.intake.receive("me", blank, sent(), record)
    made = partial(wait_for, "for the blank image", lambda: fleet.files() == {"new.img"})
    await asyncio.to_thread(made)
    assert not [problem for problem in problems(service) if "pool main" in problem]
    worker.kill()
    with psycopg.connect(fleet.url) as connection:
        connection.execute("UPDATE pools SET seen = seen - interval '2 hours'")
    assert [problem for problem in problems(service) if "pool main" in problem]


def problems(service: Service) -> list[str]:
    """What a doctor finds who looks at no pool."""
    found = examine(
        service.data,
        service.database,
        [],
        reading=service.clocks(),
        service=None,
        archiving=False,
    )
    return found.problems


async def test_another_pool_of_the_same_name(fleet: Fleet, tmp_path: Path) -> None:
    """As if every machine had its own: images would be looked for where they are not."""
    worker = fleet.worker(pools=[MAIN]).wait_until_it_works()
    there = Pool(MAIN, tmp_path / "another")
    settings = Settings(data=tmp_path / "data", store=fleet.url, pools=(there,))
    settings.data.mkdir()
    with pytest.raises(DataUnusable, match="is not the pool main that other processes"):
        async with open_service(settings):
            pass
    there.identity_file.write_text(fleet.pools[MAIN].identity_file.read_text())
    async with open_service(settings):
        pass
    assert worker.stop() == 0
