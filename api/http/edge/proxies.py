"""Requests as clients made them, where trusted proxies forward them.

Only what a trusted proxy says is believed: anybody can send such headers. `X-Forwarded-For` is read
from its right end, where the nearest proxy has added the address that it saw.
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
        seen = _Seen(remote=self._client(request))
        scheme = _last(request, "X-Forwarded-Proto").lower()
        if scheme in _SCHEMES:
            seen["scheme"] = scheme
        host = _last(request, "X-Forwarded-Host")
        if _HOST.fullmatch(host):
            seen["host"] = host
        return request.clone(**seen)

    def _client(self, request: web.Request) -> str:
        """Return the rightmost address that is not a trusted proxy's, or else the leftmost one."""
        found = request.remote or ""
        for address in _forwarded(request):
            found = address
            if not self.is_trusted(address):
                break
        return found

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


def _last(request: web.Request, header: str) -> str:
    """Return what the nearest proxy says."""
    values = request.headers.getall(header, ())
    return values[-1].rpartition(",")[2].strip() if values else ""
