"""Addresses that a process listens on, and what it says if it cannot."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from errno import EADDRINUSE
from typing import Self

from api.metrics.collector import Metrics
from api.metrics.endpoint import serve_metrics
from ledger.domain.errors import Expected


class CannotListen(Expected):
    """The address is taken or is none of this machine's."""

    @classmethod
    def at(cls, host: str, port: int, error: OSError) -> Self:
        reason = "it is in use" if error.errno == EADDRINUSE else error.strerror
        return cls(f"cannot listen on {host}:{port}: {reason}")


@asynccontextmanager
async def telling_metrics(metrics: Metrics, host: str, port: int) -> AsyncIterator[str]:
    """Yields where. Raises `CannotListen`."""
    async with AsyncExitStack() as stack:
        try:
            port = await stack.enter_async_context(serve_metrics(metrics, host, port))
        except OSError as error:
            raise CannotListen.at(host, port, error) from error
        yield f"http://{host}:{port}/metrics"
