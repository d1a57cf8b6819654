"""IP addresses."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

IPV6_PREFIX = 64
"""The smallest network that a provider gives to a customer."""


def parse_address(text: str) -> Address | None:
    """Return None for what is no address; an IPv4 address within IPv6 is one of IPv4."""
    try:
        ip = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return mapped or ip


def network_of(text: str) -> str:
    """Return what an address is counted by: itself, or its network in IPv6."""
    ip = parse_address(text)
    if isinstance(ip, IPv6Address):
        return str(IPv6Network((ip, IPV6_PREFIX), strict=False))
    return text if ip is None else str(ip)
