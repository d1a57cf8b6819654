"""The connections that are open, of all clients and of each address.

When there are too many, the one that has been idle for the longest is closed, and not the newcomer:
who opens too many loses their own.
"""

from collections.abc import Callable
from typing import Protocol

from api.service.limits import Limits
from api.text.addresses import network_of


class OpenConnection(Protocol):
    """A connection, as far as it is counted."""

    def cut(self) -> None:
        """Close it at once."""


class _Address:
    """The connections of one address; those that are idle, in the order in which they became so."""

    def __init__(self, *, is_proxy: bool) -> None:
        self.is_proxy = is_proxy
        self.count = 0
        self.idle: dict[OpenConnection, None] = {}


class OpenConnections:
    """Counts connections, and closes those that are too many.

    A connection is *idle* unless it serves an account: nobody has asked for anything over it, or
    nobody knows yet who asks.
    """

    def __init__(self, limits: Limits, is_proxy: Callable[[str], bool]) -> None:
        """`is_proxy` says whether an address is a trusted proxy's, which has many clients."""
        self._limits = limits
        self._is_proxy = is_proxy
        self._addresses: dict[str, _Address] = {}
        self._open: dict[OpenConnection, str] = {}

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: OpenConnection, peer: str) -> None:
        """Count a new connection. One is closed if it is too much: itself, if no other is idle."""
        is_proxy = self._is_proxy(peer)
        # A proxy does not share its exemption with its neighbours, nor their limit.
        name = peer if is_proxy else network_of(peer)
        address = self._addresses.get(name)
        if address is None:
            address = self._addresses[name] = _Address(is_proxy=is_proxy)
        self._open[connection] = name
        address.count += 1
        address.idle[connection] = None
        each, every = self._limits.connections_per_address, self._limits.connections
        if each and address.count > each and not address.is_proxy:
            self._cut_oldest(address)
        elif every and len(self._open) > every:
            self._cut_oldest(self._busiest())

    def remove(self, connection: OpenConnection) -> None:
        """Count the connection no longer; it may have been removed before."""
        name = self._open.pop(connection, None)
        if name is None:
            return
        address = self._addresses[name]
        address.count -= 1
        address.idle.pop(connection, None)
        if not address.count:
            del self._addresses[name]

    def occupy(self, connection: OpenConnection) -> None:
        """Note that the connection serves an account now."""
        name = self._open.get(connection)
        if name is not None:
            self._addresses[name].idle.pop(connection, None)

    def release(self, connection: OpenConnection) -> None:
        """Note that it has served, and is the last to have become idle."""
        name = self._open.get(connection)
        if name is not None:
            idle = self._addresses[name].idle
            idle.pop(connection, None)
            idle[connection] = None

    def _busiest(self) -> _Address:
        """Return the address with the most connections, if one of them is idle; a proxy last."""
        idle = [address for address in self._addresses.values() if address.idle]
        return max(idle, key=lambda address: (not address.is_proxy, address.count))

    def _cut_oldest(self, address: _Address) -> None:
        oldest = next(iter(address.idle))
        self.remove(oldest)
        oldest.cut()
