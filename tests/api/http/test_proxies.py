"""Requests that a proxy forwards: `--trusted-proxy`."""

import re
from dataclasses import replace

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from api.app import make_app
from api.http.edge.proxies import TrustedProxies
from api.service.service import Service
from tests.api.calling import ALICE, DRIVE, SIZE, UNKNOWN, Answer, Api, authorization
from tests.api.openapi.test_openapi import OPERATIONS
from tests.support.api_server import ApiServer

TRUSTED = ("10.0.0.0/8", "2001:db8::/32")
PROXY = "10.0.0.1"
CLIENT = "192.0.2.7"


def forwarded(
    peer: str, *headers: tuple[str, str], trusted: tuple[str, ...] = TRUSTED
) -> web.Request:
    request = make_mocked_request(
        "GET", "/", headers=CIMultiDict([("Host", "internal:8080"), *headers])
    )
    return TrustedProxies(trusted).seen_by_client(request.clone(remote=peer))


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ([CLIENT], CLIENT),
        ([f"6.6.6.6, {CLIENT}"], CLIENT),
        ([f"6.6.6.6, {CLIENT}, 10.1.1.1"], CLIENT),
        ([f"6.6.6.6, {CLIENT}", "10.1.1.1, 10.2.2.2"], CLIENT),
        ([f"10.9.9.9, {CLIENT}"], CLIENT),
        ([f"{CLIENT}:4711"], CLIENT),
        (["::ffff:192.0.2.7"], CLIENT),
        (["[2002::1]:4711"], "2002::1"),
        (["2002::1, 2001:db8::5"], "2002::1"),
        (["10.3.3.3, 10.2.2.2"], "10.3.3.3"),
        ([f"{CLIENT}, unknown"], PROXY),
        ([f"{CLIENT}, "], PROXY),
        ([f"{CLIENT}, unknown, 10.2.2.2"], "10.2.2.2"),
        ([""], PROXY),
        ([], PROXY),
    ],
)
def test_the_clients_address(given: list[str], address: str) -> None:
    """The rightmost that is no trusted proxy's: what is left of it anybody may have written."""
    headers = [("X-Forwarded-For", text) for text in given]
    assert forwarded(PROXY, *headers).remote == address


def test_scheme_and_host() -> None:
    """As the proxy says that the client has connected to, if that makes sense."""
    for said, scheme in (
        ("https", "https"),
        ("HTTPS", "https"),
        ("http, https", "https"),
        ("ftp", "http"),
    ):
        assert forwarded(PROXY, ("X-Forwarded-Proto", said)).scheme == scheme
    for said, host in (
        ("ledger.example", "ledger.example"),
        ("ledger.example:8443", "ledger.example:8443"),
        ("evil.example, ledger.example", "ledger.example"),
        ("[2001:db8::1]:80", "[2001:db8::1]:80"),
        ("a b", "internal:8080"),
        ("a/b", "internal:8080"),
        ("", "internal:8080"),
    ):
        assert forwarded(PROXY, ("X-Forwarded-Host", said)).host == host


@pytest.mark.parametrize(
    ("addresses", "said", "found"),
    [
        ([f"{CLIENT}, 10.1.1.1"], ["https, http"], "https"),
        ([f"{CLIENT}, 10.1.1.1"], ["https", "http"], "https"),
        ([f"{CLIENT}, 10.1.1.1"], ["http, https"], "http"),
        ([f"{CLIENT}, 10.1.1.1"], ["https"], "https"),
        ([f"{CLIENT}, 10.1.1.1, 10.2.2.2"], ["https, http, http"], "https"),
        ([f"{CLIENT}, 10.1.1.1, 10.2.2.2"], ["https, http"], "https"),
        ([f"{CLIENT}"], ["http, https"], "https"),
        ([f"6.6.6.6, {CLIENT}, 10.1.1.1"], ["http, https, http"], "https"),
        (["10.3.3.3, 10.2.2.2"], ["https, http"], "https"),
        ([], ["http, https"], "https"),
    ],
)
def test_proxies_behind_each_other(addresses: list[str], said: list[str], found: str) -> None:
    """Each adds what it saw, or passes on what is there; what the client wrote does not count."""
    headers = [("X-Forwarded-For", each) for each in addresses]
    request = forwarded(PROXY, *headers, *(("X-Forwarded-Proto", each) for each in said))
    assert request.scheme == found
    hosts = [each.replace("http", "host").replace("hosts", "front") for each in said]
    request = forwarded(PROXY, *headers, *(("X-Forwarded-Host", each) for each in hosts))
    assert request.host == {"https": "front", "http": "host"}[found]


@pytest.mark.parametrize("peer", [CLIENT, "11.0.0.1", ""])
def test_nobody_else_is_believed(peer: str) -> None:
    """Who is no trusted proxy comes from where it comes from, whatever it says."""
    headers = [
        ("X-Forwarded-For", "6.6.6.6"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "evil"),
    ]
    request = forwarded(peer, *headers)
    assert (request.remote, request.scheme, request.host) == (peer, "http", "internal:8080")
    without = forwarded(PROXY, *headers, trusted=())
    assert (without.remote, without.scheme, without.host) == (PROXY, "http", "internal:8080")


addresses = st.one_of(
    st.ip_addresses().map(str), st.sampled_from(["10.1.1.1", "unknown", "", "x", "1.2.3.4:5"])
)


@given(st.lists(addresses, max_size=6), st.ip_addresses(v=4).map(str))
def test_no_client_chooses_its_address(written: list[str], client: str) -> None:
    """Whatever it writes itself, the proxy adds the address that it sees."""
    request = forwarded(PROXY, ("X-Forwarded-For", ", ".join([*written, client])))
    if not client.startswith("10."):
        assert request.remote == client


# The same over HTTP


@pytest.fixture
async def proxied(service: Service):
    """A service that takes the client for a trusted proxy."""
    trusting = replace(service, trusted_proxies=("127.0.0.1",))
    async with TestClient(ApiServer(make_app(trusting))) as client:
        yield Api(client, trusting)


NGINX = {"Host": "127.0.0.1:8080", "X-Forwarded-For": CLIENT, "X-Forwarded-Proto": "https"}
"""What nginx sends without `proxy_set_header Host`, but for the header that the test is about."""


async def test_a_page_behind_a_proxy(proxied: Api, api: Api) -> None:
    """Its origin is the host that its browser sees, which a trusted proxy forwards."""
    page = NGINX | {"Origin": "https://ledger.example:8443"}
    forwarding = page | {"X-Forwarded-Host": "ledger.example:8443"}
    assert (await proxied.post("/drives/", DRIVE, headers=forwarding)).status == 201
    for client, headers in ((proxied, page), (api, forwarding)):
        refused = await client.post("/drives/", DRIVE, headers=headers)
        assert refused.error == (403, "permission", None)
        message = refused.json[0]["error_message"]
        assert "X-Forwarded-Host" in message
        assert "--trusted-proxy" in message
        assert "https://ledger.example:8443" in message


async def test_a_browser_says_that_it_is_our_page(api: Api) -> None:
    """Over TLS, and to its own machine; so it works behind any proxy. No page can say so itself."""
    page = NGINX | {"Origin": "https://ledger.example"}
    for said, status in (
        ("same-origin", 201),
        ("same-site", 403),
        ("cross-site", 403),
        ("none", 403),
    ):
        answer = await api.post("/drives/", DRIVE, headers=page | {"Sec-Fetch-Site": said})
        assert answer.status == status, said


async def test_addresses_in_answers(proxied: Api) -> None:
    """They are the ones that the client sees."""
    headers = NGINX | {"X-Forwarded-Host": "ledger.example"}
    (location,) = (await proxied.get("/locations/", headers=headers)).json["objects"]
    assert location["api_endpoint"] == "https://ledger.example/api/2.0/"
    assert location["websocket_url"] == "wss://ledger.example/websocket"


INTERNAL = re.compile(rb"(?:http|ws)://|127\.0\.0\.1|localhost")
"""What an address would have that was made without knowing how the client came."""


async def test_no_answer_has_an_address_of_the_proxys_own(
    proxied: Api, subtests: pytest.Subtests
) -> None:
    """Of every URL, body and headers: links are relative, or begin as the client's own."""
    said = {"Host": "ledger.example:8443", "X-Forwarded-Proto": "https"}
    drive, server = await proxied.drive(), await proxied.server()
    tag = await proxied.post("/tags/", {"name": "fleet"}, headers=said)
    job = await proxied.job()
    uuids = {"drives": drive, "servers": server, "jobs": job}
    uuids["tags"] = tag.json["objects"][0]["uuid"]
    assert tag.headers["Location"].startswith("/api/2.0/tags/")
    answers = {"post /tags/": tag}
    for action in ("clone", "resize"):
        path = f"/drives/{drive}/action/?do={action}"
        answers[path] = await proxied.post(path, {"size": SIZE}, headers=said)
    for operation in OPERATIONS:
        method, _, path = operation.partition(" ")
        if method == "get":
            uuid = uuids.get(path.split("/")[3] if path.count("/") > 3 else "", UNKNOWN)
            url = re.sub(r"\{\w+\}", uuid, path)
            sent = said | {"Authorization": authorization(ALICE), "Range": "bytes=0-0"}
            async with proxied.client.get(url, headers=sent, allow_redirects=False) as response:
                answers[operation] = Answer(
                    response.status, response.headers, await response.read()
                )
    for operation, answer in answers.items():
        with subtests.test(operation):
            told = b"\n".join(f"{name}: {text}".encode() for name, text in answer.headers.items())
            assert INTERNAL.search(told) is None
            if answer.headers["Content-Type"] != "application/octet-stream":
                assert INTERNAL.search(answer.body) is None
    (location,) = answers["get /api/2.0/locations/"].json["objects"]
    assert location["api_endpoint"] == "https://ledger.example:8443/api/2.0/"
    assert location["websocket_url"] == "wss://ledger.example:8443/websocket"
