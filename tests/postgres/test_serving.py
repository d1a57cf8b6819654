"""A data directory leads to its ledger in PostgreSQL."""

import asyncio
from pathlib import Path

import pytest

from api.composition import open_ledger, open_service
from api.data.directory import DataUnusable
from api.data.location import STORE_FILE, PostgresDatabase, SqliteDatabase, database_of
from api.service.settings import Settings
from tests.support.wait import patience


async def test_a_data_directory_remembers_where_its_ledger_is(
    tmp_path: Path, database: str
) -> None:
    """Every command that names the directory finds it; the url stays private."""
    assert isinstance(database_of(tmp_path, None), SqliteDatabase)
    async with open_ledger(tmp_path, url=database):
        pass
    found = database_of(tmp_path, None)
    assert isinstance(found, PostgresDatabase)
    assert found.url == database
    assert (tmp_path / STORE_FILE).stat().st_mode & 0o777 == 0o600
    async with open_ledger(tmp_path) as opened:
        assert await opened.accounts.every() == []
    with pytest.raises(DataUnusable, match="another database"):
        database_of(tmp_path, "postgresql:///another")


async def test_a_ledger_in_sqlite_stays_there(tmp_path: Path, database: str) -> None:
    """Nobody begins a second one beside it."""
    async with open_ledger(tmp_path):
        pass
    with pytest.raises(DataUnusable, match="SQLite"):
        database_of(tmp_path, database)
    assert not (tmp_path / STORE_FILE).exists()


async def test_a_service_that_is_stopped_while_it_starts(
    tmp_path: Path, ledger_database: str
) -> None:
    """It ends, at whatever moment of its start that was: what is cancelled may not have noticed."""
    settings = Settings(data=tmp_path, store=ledger_database)
    for moment in range(20):
        async with patience("for the service to end"), open_service(settings):
            await asyncio.sleep(moment * 0.003)  # it is stopped at this moment of its start
