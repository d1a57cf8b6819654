"""The addresses that a process listens on, and the error if it cannot.

They are bound before anything else is done, so that a start that cannot listen makes nothing, and
listened on once there is somebody to answer.
"""

import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from errno import EADDRINUSE

from api.metrics.collector import Metrics
from api.metrics.endpoint import serve_metrics
from api.service.settings import WorkSettings
from ledger.domain.errors import Expected, Misconfigured

PORT_MAX = 65_535
Sockets = Sequence[socket.socket]
"""One for each address that a host has."""


class CannotListen(Expected):
    """The address is taken, or is not one of this machine's."""

    @staticmethod
    def at(host: str, port: int, error: OSError) -> "CannotListen":
        kind = MayNotListen if isinstance(error, PermissionError) else CannotListen
        reason = "it is in use" if error.errno == EADDRINUSE else error.strerror
        return kind(f"cannot listen on {host}:{port}: {reason}")


class MayNotListen(CannotListen, Misconfigured):
    """The port is for privileged processes, or there is none of this number."""


@contextmanager
def bound(host: str, port: int, *, shared: bool = False) -> Iterator[Sockets]:
    """Bind to a port of all addresses of a host; any free one for 0.

    A `shared` port is one that processes which have reserved it listen on together. Raises
    `CannotListen`.
    """
    if port > PORT_MAX:  # several processes count their ports up
        raise MayNotListen(f"cannot listen on {host}:{port}: ports end at {PORT_MAX}")
    with ExitStack() as stack:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            sockets = [
                _bound(stack.enter_context(socket.socket(family, kind, protocol)), address, shared)
                for family, kind, protocol, _, address in dict.fromkeys(found)
            ]
        except OSError as error:
            raise CannotListen.at(host, port, error) from error
        yield sockets


def _bound(listener: socket.socket, address: tuple[object, ...], shared: bool) -> socket.socket:  # noqa: FBT001
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if listener.family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    listener.settimeout(0)
    listener.bind(address)
    return listener


@contextmanager
def bound_for_metrics(settings: WorkSettings, number: int = 0) -> Iterator[Sockets]:
    """Bind the port for metrics of the process of this number; nothing if there is none."""
    port = settings.metrics_port
    if port is None:
        yield ()
        return
    with bound(settings.metrics_host, port and port + number) as sockets:
        yield sockets


@asynccontextmanager
async def metrics_endpoint(
    make: Callable[[], Metrics], sockets: Sockets
) -> AsyncIterator[str | None]:
    """Serve metrics if there is a port for them; yield their URL. Raises `CannotListen`."""
    if not sockets:
        yield None
        return
    host, port = sockets[0].getsockname()[:2]
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(serve_metrics(make(), sockets))
        except OSError as error:  # another process has begun to listen since
            raise CannotListen.at(host, port, error) from error
        yield f"http://{host}:{port}/metrics"
