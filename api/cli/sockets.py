"""The addresses that a process listens on, and the error if it cannot."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from errno import EADDRINUSE

from api.metrics.collector import Metrics
from api.metrics.endpoint import serve_metrics
from api.service.settings import WorkSettings
from ledger.domain.errors import Expected, Misconfigured


class CannotListen(Expected):
    """The address is taken, or is not one of this machine's."""

    @staticmethod
    def at(host: str, port: int, error: OSError) -> "CannotListen":
        kind = MayNotListen if isinstance(error, PermissionError) else CannotListen
        reason = "it is in use" if error.errno == EADDRINUSE else error.strerror
        return kind(f"cannot listen on {host}:{port}: {reason}")


class MayNotListen(CannotListen, Misconfigured):
    """The port is for privileged processes."""


@asynccontextmanager
async def metrics_endpoint(
    make: Callable[[], Metrics], settings: WorkSettings, number: int = 0
) -> AsyncIterator[str | None]:
    """Serve metrics if the settings say so, for the process of this number; yield their URL.

    Raises `CannotListen`.
    """
    host, port = settings.metrics_host, settings.metrics_port
    if port is None:
        yield None
        return
    if port:
        port += number
    async with AsyncExitStack() as stack:
        try:
            port = await stack.enter_async_context(serve_metrics(make(), host, port))
        except OSError as error:
            raise CannotListen.at(host, port, error) from error
        yield f"http://{host}:{port}/metrics"
