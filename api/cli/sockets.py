"""The addresses that a process listens on, and the error if it cannot.

They are bound before anything else is done, so that a start that cannot listen makes nothing, and
listened on once there is somebody to answer.
"""

import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from errno import EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EPROTONOSUPPORT
from typing import Literal, NamedTuple

from api.metrics.collector import Metrics
from api.metrics.endpoint import serve_metrics
from api.service.settings import WorkSettings
from ledger.domain.errors import Expected, Misconfigured

PORT_MAX = 65_535
FREE_PORT_TRIES = 20
_NO_SUCH_ADDRESS = frozenset({EAFNOSUPPORT, EADDRNOTAVAIL, EPROTONOSUPPORT})
Sockets = Sequence[socket.socket]
"""One for each address that a host has."""

Use = Literal["alone", "shared", "reserved"]
"""Processes share a port to which one has bound as `reserved`, to keep others away."""


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
def bound(host: str, port: int, use: Use = "alone") -> Iterator[Sockets]:
    """Bind to one port of all addresses of a host; for 0, to one that is free on all of them.

    An address of a family that the machine does not have is left out, if there is another. Raises
    `CannotListen`.
    """
    if port > PORT_MAX:  # several processes count their ports up
        raise MayNotListen(f"cannot listen on {host}:{port}: ports end at {PORT_MAX}")
    with ExitStack() as stack:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            addresses = [_Address(family, at) for family, *_, at in dict.fromkeys(found)]
            sockets = _bound_to_one_port(addresses, use=use)
        except OSError as error:
            raise CannotListen.at(host, port, error) from error
        for each in sockets:
            stack.enter_context(each)
        yield sockets


@contextmanager
def reserve_port(host: str, port: int) -> Iterator[int]:
    """Reserve a port that all our processes can listen on as `shared`; any free one for 0.

    Raises `CannotListen` if it is taken, even by a process that would share it.
    """
    with bound(host, port) as probes:
        free = port_of(probes)
    with bound(host, free, "reserved"):
        yield free


def port_of(sockets: Sockets) -> int:
    return int(sockets[0].getsockname()[1])


def urls_of(sockets: Sockets) -> list[str]:
    """Return the URLs that are listened on, one for each address."""
    return [_url_of(*each.getsockname()[:2]) for each in sockets]


def _url_of(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Address(NamedTuple):
    """An address as the system names it, with its port and, for IPv6, more."""

    family: int
    full: tuple[object, ...]

    def with_port(self, port: int) -> tuple[object, ...]:
        return self.full[0], port, *self.full[2:]


def _bound_to_one_port(addresses: Sequence[_Address], *, use: Use) -> Sockets:
    """Bind to the port of the addresses. A free one may be taken at one of them: try others."""
    tries = 1 if addresses[0].full[1] else FREE_PORT_TRIES
    while True:
        tries -= 1
        with ExitStack() as undone:
            try:
                sockets = _bound_to_all(addresses, undone, use=use)
            except OSError as error:
                if not tries or error.errno != EADDRINUSE:
                    raise
            else:
                undone.pop_all()
                return sockets


def _bound_to_all(addresses: Sequence[_Address], undone: ExitStack, *, use: Use) -> Sockets:
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    for address in addresses:
        at = address.with_port(port_of(sockets)) if sockets else address.full
        try:
            sockets.append(undone.enter_context(_bound(address.family, at, use=use)))
        except OSError as error:
            if error.errno not in _NO_SUCH_ADDRESS:
                raise
            missing = error
    if missing is not None and not sockets:
        raise missing
    return sockets


def _bound(family: int, address: tuple[object, ...], *, use: Use) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if use != "reserved":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if use != "alone":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.settimeout(0)
        listener.bind(address)
    except BaseException:
        listener.close()
        raise
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
    urls = urls_of(sockets)
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(serve_metrics(make(), sockets))
        except OSError as error:  # another process has begun to listen since
            raise CannotListen.at(host, port, error) from error
        yield " and ".join(f"{url}/metrics" for url in urls)
