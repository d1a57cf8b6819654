"""Requests as clients made them, where trusted proxies forward them.

Only what a trusted proxy says is believed: anybody can send such headers. They are read from their
right end, where the nearest proxy has added what it saw, up to the proxy that the client has
connected to.
"""

import re
from collections.abc import Iterator, Sequence
from ipaddress import ip_network
from typing import TypedDict

from aiohttp import web

from api.text.addresses import parse_address

_SCHEMES = ("http", "https")
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_BRACKETED = re.compile(r"\[([^\]]*)\](?::[0-9]+)?")
_IPV4_WITH_PORT = re.compile(r"([0-9.]+):[0-9]+")


class _Seen(TypedDict, total=False):
    remote: str
    scheme: str
    host: str


TRUSTED_PROXIES: web.AppKey["TrustedProxies"] = web.AppKey("trusted_proxies")


class TrustedProxies:
    """Knows which peers are proxies."""

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = tuple(map(ip_network, networks))

    def seen_by_client(self, request: web.Request) -> web.Request:
        """Return the request with the address, scheme and host that its client saw."""
        if not self._networks or not self.is_trusted(request.remote or ""):
            return request
        address, between = self._client(request)
        seen = _Seen(remote=address)
        scheme = _said(request, "X-Forwarded-Proto", between).lower()
        if scheme in _SCHEMES:
            seen["scheme"] = scheme
        host = _said(request, "X-Forwarded-Host", between)
        if _HOST.fullmatch(host):
            seen["host"] = host
        return request.clone(**seen)

    def _client(self, request: web.Request) -> tuple[str, int]:
        """Return the rightmost address that is not a trusted proxy's, or else the leftmost one.

        And how many proxies are between the service and the one that it has connected to.
        """
        forwarded = list(_forwarded(request)) or [request.remote or ""]
        for between, address in enumerate(forwarded):
            if not self.is_trusted(address):
                return address, between
        return forwarded[-1], len(forwarded) - 1

    def is_trusted(self, address: str) -> bool:
        """Return whether a proxy of this address is believed."""
        ip = parse_address(address)
        return ip is not None and any(ip in network for network in self._networks)


def _forwarded(request: web.Request) -> Iterator[str]:
    """Yield the addresses from the nearest on, up to what is no address."""
    for entry in reversed(",".join(request.headers.getall("X-Forwarded-For", ())).split(",")):
        text = entry.strip()
        with_port = _BRACKETED.fullmatch(text) or _IPV4_WITH_PORT.fullmatch(text)
        ip = parse_address(with_port[1] if with_port else text)
        if ip is None:
            return
        yield str(ip)


def _said(request: web.Request, header: str, between: int) -> str:
    """Return what the proxy says that has so many others between itself and the service.

    Each adds what it saw at the right end; or one has replaced what was there, or passed it on.
    Then the leftmost that is left counts: it is by that proxy, or by one nearer.
    """
    said = ",".join(request.headers.getall(header, ())).split(",")
    return said[-1 - between :][0].strip()
