"""A service in this process, for commands to ask, that does nothing of its own accord.

One in a process of its own discards what is due ten seconds after its start, which may be at any
moment of a test.
"""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

from api.admin.server import AdminServer
from api.composition import open_service
from api.data.directory import data_lock
from api.service.settings import load_settings
from tests.support.wait import PATIENCE_S

Begun = Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]


@contextmanager
def served_here(data: Path, **settings: object) -> Iterator[None]:
    """It listens at the admin socket of the data directory, in a thread of its own."""
    begun: Begun = Future()
    thread = threading.Thread(
        target=asyncio.run, args=[_serve(data, begun, settings)], name="served here"
    )
    thread.start()
    loop, stop = begun.result(PATIENCE_S)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(PATIENCE_S)


async def _serve(data: Path, begun: Begun, settings: Mapping[str, object]) -> None:
    stop = asyncio.Event()
    try:
        with data_lock(data):
            loaded = load_settings(data=data, **settings)
            async with open_service(loaded) as service, AdminServer(service):
                begun.set_result((asyncio.get_running_loop(), stop))
                await stop.wait()
    except BaseException as error:
        if not begun.done():
            begun.set_exception(error)
        raise
