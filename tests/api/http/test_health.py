"""`/healthz` and `/readyz`, for monitoring and load balancers."""

import asyncio
import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from api.metrics.collector import of_service
from api.metrics.request_counts import RequestCounts
from api.service import single_flight
from ledger.domain.errors.store import StoreUnreachable
from tests.api.calling import Api
from tests.support.wait import PATIENCE_S


async def told(api: Api, path: str) -> tuple[int, bytes]:
    async with api.client.get(path) as answer:
        return answer.status, await answer.read()


async def test_it_is_alive_and_ready(api: Api) -> None:
    """Nobody needs a login to ask."""
    assert await told(api, "/healthz") == (200, b'{"status":"ok"}')
    assert await told(api, "/readyz") == (200, b'{"status":"ready"}')


async def test_it_is_not_ready_without_its_store(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that cannot be read is a 503; the process is alive all the same."""

    def unreachable() -> None:
        raise StoreUnreachable("the database is away")

    monkeypatch.setattr(api.service.views, "long_snapshot", unreachable)
    status, body = await told(api, "/readyz")
    assert status == 503
    assert b"cannot be reached" in body
    assert (await told(api, "/healthz"))[0] == 200


async def test_it_is_not_ready_if_its_store_does_not_answer(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not wait for long, and asks a store that hangs only once."""
    asked = []
    answered = threading.Event()

    @contextmanager
    def hang() -> Iterator[None]:
        asked.append(1)
        answered.wait()
        raise StoreUnreachable("at last")
        yield

    monkeypatch.setattr(api.service.views, "long_snapshot", hang)
    monkeypatch.setattr(single_flight, "READ_S", 0.05)
    try:
        assert (await told(api, "/readyz"))[0] == 503
        assert (await told(api, "/readyz"))[0] == 503
    finally:
        answered.set()
        monkeypatch.setattr(single_flight, "READ_S", PATIENCE_S)
        status, body = await told(api, "/readyz")
    assert (status, b"cannot be reached" in body) == (503, True)
    assert len(asked) <= 2  # once for the first two, and once again if that had ended by then


def test_an_abandoned_read_ends_with_its_service(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It leaves neither a thread nor an error that nobody awaits."""
    monkeypatch.setattr(single_flight, "READ_S", 0.05)
    answered = threading.Event()

    def hang() -> None:
        answered.wait()
        raise StoreUnreachable("at last")

    async def give_up_and_close() -> None:
        flight = single_flight.SingleFlight("abandoned", hang)
        with pytest.raises(StoreUnreachable, match="too long"):
            await flight.value()
        monkeypatch.setattr(single_flight, "READ_S", PATIENCE_S)
        closing = asyncio.create_task(flight.close())
        answered.set()
        await closing

    asyncio.run(give_up_and_close())
    gc.collect()
    assert threads_of("abandoned") == []
    assert caplog.text == ""


def threads_of(name: str) -> list[str]:
    """Those that read what is called so."""
    return [each.name for each in threading.enumerate() if each.name.startswith(f"{name}_")]


async def test_it_is_ready_while_clients_read_lists(api: Api) -> None:
    """However slowly they read, and however many they are; metrics are answered too."""
    read = threading.Event()
    reads = api.service.reads
    reading = [
        asyncio.create_task(reads.read(f"account {number}", read.wait)) for number in range(8)
    ]
    metrics = of_service(api.service, RequestCounts())
    try:
        assert (await told(api, "/readyz"))[0] == 200
        assert b"job_ledger_jobs{" in await metrics.text()
    finally:
        read.set()
        await metrics.close()
    await asyncio.gather(*reading)
