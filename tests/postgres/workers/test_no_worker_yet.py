"""A service that leaves the work to workers, before there is one."""

from dataclasses import replace
from pathlib import Path

from aiohttp.test_utils import TestClient

from api.app import make_app
from api.composition import open_service
from api.service.settings import Settings
from ledger.domain.context import PoolSpace
from ledger.store.postgres.connections import connected
from ledger.store.postgres.pool_registry import report_pools
from tests.api.calling import ALICE, DRIVE, Api, KnownAccounts
from tests.support.api_server import ApiServer


async def test_new_drives_wait_for_a_worker(tmp_path: Path, ledger_database: str) -> None:
    """503 says when to try again, in words; it works as soon as the store knows of a worker.

    Then only a wrong type is a 400, and an image that is sent here is refused for what is so.
    """
    settings = Settings(data=tmp_path, store=ledger_database, copying=False)
    async with open_service(settings) as opened:
        service = replace(opened, accounts=KnownAccounts(ALICE))
        async with TestClient(ApiServer(make_app(service))) as client:
            api = Api(client, service)
            for path, body in (("/drives/", DRIVE), ("/initupload/", DRIVE)):
                answer = await api.post(path, body)
                assert answer.error == (503, "backend", None)
                assert answer.headers["Retry-After"] == "2"
                assert "no worker is there yet" in answer.json[0]["error_message"]
            image = await api.post("/drives/upload/", data=b"image")
            assert (image.status, image.headers["Retry-After"]) == (503, "2")

            with connected(ledger_database) as connection:
                report_pools(connection, "another machine", [PoolSpace("far", "dssd", 1 << 40)])

            assert (await api.post("/drives/", DRIVE)).status == 201
            elsewhere = await api.post("/drives/upload/", data=b"image")
            assert "pool far is not mounted on this node" in elsewhere.json[0]["error_message"]
            with connected(ledger_database) as connection:
                report_pools(connection, "a third", [PoolSpace("tape", "zadara", 1 << 40)])
            made = await api.post("/drives/upload/?storage_type=zadara", data=b"image")
            assert "pool tape is not mounted on this node" in made.json[0]["error_message"]
            wrong = await api.post("/drives/", {**DRIVE, "storage_type": "nvme"})
            assert wrong.error == (400, "validation", "storage_type")
