"""The addresses of a server's cards: no two running servers of an account use the same.

There is no network and no DHCP server: an address is a record, as the host of a server is.
"""

from collections.abc import Container
from ipaddress import IPv4Address, IPv4Network

from msgspec.structs import replace

from ledger.domain.aggregates.server import Server, gets_address
from ledger.domain.context import Environment, State
from ledger.domain.errors.servers import AddressInUse, NoAddressLeft
from ledger.domain.events.servers import Address
from ledger.domain.quotas import Holding, check_quota


def start_addresses(server: Server, state: State, environment: Environment) -> tuple[Address, ...]:
    """Return the addresses that a stopped server gets.

    Raise `AddressInUse`, `NoAddressLeft`, `QuotaExceeded`.
    """
    used = set(state.relations(server.owner).addresses)
    for nic in server.nics:
        for conf in (nic.ip_v4_conf, nic.ip_v6_conf):
            if conf is not None and conf.ip is not None:
                if conf.ip in used:
                    raise AddressInUse(conf.ip)
                used.add(conf.ip)
    return _within_quota(server, _draw(server, used, (), environment), state, environment)


def keep_addresses(server: Server, state: State, environment: Environment) -> tuple[Address, ...]:
    """Return the addresses of a running server, also for cards that have none recorded yet.

    Raise `NoAddressLeft`, `QuotaExceeded`.
    """
    used = set(state.relations(server.owner).addresses)
    drawn = _draw(server, used, server.addresses, environment)
    return _within_quota(server, drawn, state, environment)


def _within_quota(
    server: Server, addresses: tuple[Address, ...], state: State, environment: Environment
) -> tuple[Address, ...]:
    """Return the addresses if the account may have what the server will use with them."""
    running = replace(server, power="running", addresses=addresses)
    more = len(running.ips()) - len(server.ips())
    if more > 0:
        check_quota(Holding(server.owner, "addresses"), state, environment.quotas, more)
    return addresses


def _draw(
    server: Server, used: set[str], had: tuple[Address, ...], environment: Environment
) -> tuple[Address, ...]:
    network = environment.address_range()
    free = FreeAddresses(network, used)
    known = {address.mac: address for address in had}
    found: list[Address] = []
    for nic in server.nics:
        if gets_address(nic):
            address = known.get(nic.mac)
            if address is None:
                address = Address(nic.mac, free.draw(nic.mac), str(network))
            used.add(address.ip)
            found.append(address)
    return tuple(found)


class FreeAddresses:
    """The free addresses of a network; the caller adds to `used` what it draws.

    However many are drawn, each used address is looked at about once, so that a server with many
    cards keeps nobody waiting.
    """

    def __init__(self, network: IPv4Network, used: Container[str]) -> None:
        self._network = network
        self._used = used
        self._next: dict[int, int] = {}
        """From a used host to a later one; all between them are used."""

    def draw(self, mac: str) -> str:
        """Return the address that ends as the mac does or, if it is used, the next one that is not.

        The first address of a network is its gateway's. Raise `NoAddressLeft`.
        """
        hosts = self._network.num_addresses
        for first in (int(mac.replace(":", ""), 16) % hosts, 0):
            host = self._free_from(first)
            if host < hosts:
                return self._ip(host)
        raise NoAddressLeft(str(self._network))

    def _free_from(self, host: int) -> int:
        """Return the first host from this one on that is free, or the end of the network."""
        passed: list[int] = []
        while host < self._network.num_addresses and self._is_used(host):
            passed.append(host)
            host = self._next.get(host, host + 1)
        self._next |= dict.fromkeys(passed, host)
        return host

    def _is_used(self, host: int) -> bool:
        of_network = (0, 1, self._network.num_addresses - 1)
        return host in of_network or self._ip(host) in self._used

    def _ip(self, host: int) -> str:
        return str(IPv4Address(int(self._network.network_address) + host))
