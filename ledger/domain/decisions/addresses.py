"""The addresses of a server's cards: no two running servers of an account use the same.

There is no network and no DHCP server: an address is a record, as the host of a server is.
"""

from collections.abc import Container
from ipaddress import IPv4Address, IPv4Network

from ledger.domain import errors
from ledger.domain.aggregates.server import Server, gets_address
from ledger.domain.context import Environment, State
from ledger.domain.events import Address


def start_addresses(server: Server, state: State, environment: Environment) -> tuple[Address, ...]:
    """Return the addresses that a stopped server gets. Raise `AddressInUse`, `NoAddressLeft`."""
    used = set(state.relations(server.owner).addresses)
    for nic in server.nics:
        for conf in (nic.ip_v4_conf, nic.ip_v6_conf):
            if conf is not None and conf.ip is not None:
                if conf.ip in used:
                    raise errors.AddressInUse(conf.ip)
                used.add(conf.ip)
    return _draw(server, used, (), environment)


def keep_addresses(server: Server, state: State, environment: Environment) -> tuple[Address, ...]:
    """Return the addresses of a running server, also for cards that have none recorded yet.

    Raise `NoAddressLeft`.
    """
    used = set(state.relations(server.owner).addresses)
    return _draw(server, used, server.addresses, environment)


def _draw(
    server: Server, used: set[str], had: tuple[Address, ...], environment: Environment
) -> tuple[Address, ...]:
    network = environment.address_range()
    known = {address.mac: address for address in had}
    found: list[Address] = []
    for nic in server.nics:
        if gets_address(nic):
            address = known.get(nic.mac)
            if address is None:
                address = Address(nic.mac, draw_address(nic.mac, network, used), str(network))
            used.add(address.ip)
            found.append(address)
    return tuple(found)


def draw_address(mac: str, network: IPv4Network, used: Container[str]) -> str:
    """Return the address that ends as the mac does or, if it is used, the next one that is free.

    The first address of a network is its gateway's. Raise `NoAddressLeft`.
    """
    hosts = network.num_addresses
    first = int(mac.replace(":", ""), 16)
    for step in range(hosts):
        host = (first + step) % hosts
        if host not in (0, 1, hosts - 1):
            ip = str(IPv4Address(int(network.network_address) + host))
            if ip not in used:
                return ip
    raise errors.NoAddressLeft(str(network))
