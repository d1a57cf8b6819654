"""Addresses of running servers: tests/contract/CONTRACT.md 3.3 and 5."""

from typing import Any

from tests.api.calling import ALICE, BOB, UNKNOWN, Api
from tests.api.shapes import IP, assert_shape
from tests.contract.following import Json, listed, reference, shown

DHCP = {"ip_v4_conf": {"conf": "dhcp"}}
STATIC = {"ip_v4_conf": {"conf": "static", "ip": "192.0.2.17"}}
STATIC_V6 = {"ip_v6_conf": {"conf": "static", "ip": "2001:db8::17"}}
MANUAL = {"ip_v4_conf": {"conf": "manual"}}


def card(last: str) -> Json:
    return {**DHCP, "mac": f"22:00:00:{last}"}


async def switch(api: Api, server: str, action: str, **by: Any) -> Json:
    answer = await api.post(f"/servers/{server}/action/?do={action}", **by)
    assert answer.status == 202, answer.body
    return await running_nics(api, server, **by)


async def running_nics(api: Api, server: str, **by: Any) -> Json:
    """The IPv4 addresses of a server's cards by mac, which are the same wherever they are shown."""
    whole = (await api.get(f"/servers/{server}/", **by)).json
    if whole["runtime"] is None:
        assert [nic["runtime"] for nic in whole["nics"]] == [None] * len(whole["nics"])
        return {}
    runtime = (await api.get(f"/servers/{server}/runtime/", **by)).json
    assert runtime == whole["runtime"]
    found = {nic["mac"]: nic["ip_v4"] for nic in runtime["nics"]}
    assert {nic["mac"]: nic["runtime"]["ip_v4"] for nic in whole["nics"]} == found
    return found


async def test_a_running_server_has_its_addresses(api: Api):
    """By DHCP one that ends as the mac does; static ones as configured; a manual card has none."""
    nics = [card("01:02:03"), {**STATIC, **STATIC_V6}, MANUAL, {"vlan": UNKNOWN}]
    server = await api.server(nics=nics)
    drawn, static = reference("ips", "10.1.2.3"), reference("ips", "192.0.2.17")
    assert list((await switch(api, server, "start")).values()) == [drawn, static, None, None]
    nic = (await shown(api, f"/servers/{server}/"))["nics"][1]
    assert nic["runtime"]["ip_v6"] == reference("ips", "2001:db8::17")
    in_use = ["10.1.2.3", "192.0.2.17", "2001:db8::17"]
    for path in ("/ips/", "/ips/detail/?limit=0"):
        assert sorted(await listed(api, path)) == in_use

    about = {"owner": reference("user", ALICE.uuid), "server": reference("servers", server)}
    one = await shown(api, drawn["resource_uri"])
    assert_shape(one, IP)
    belonging = {"gateway": "10.0.0.1", "nameservers": ["10.0.0.1"], "netmask": 8}
    assert {name: one[name] for name in (*about, *belonging)} == {**about, **belonging}
    other = await shown(api, "/ips/2001:0DB8:0::17/")
    assert (other["uuid"], other["gateway"], other["netmask"]) == ("2001:db8::17", None, None)
    assert {**about, **drawn} in (await shown(api, "/ips/"))["objects"]
    assert one in (await shown(api, "/ips/detail/"))["objects"]

    first, *_ = (await switch(api, server, "restart")).values()
    assert first == drawn
    assert await switch(api, server, "shutdown") == {}
    assert await listed(api, "/ips/") == []
    for ip in (*in_use, "10.9.9.9", "nonsense", UNKNOWN):
        assert (await api.get(f"/ips/{ip}/")).error == (404, "notexist", None)


async def test_no_two_running_servers_of_an_account_have_the_same(api: Api):
    """Though their macs are the same; a static address in use refuses the start (403)."""
    first, second = [await api.server(nics=[card("00:00:09")]) for _ in range(2)]
    for server, ip in ((first, "10.0.0.9"), (second, "10.0.0.10")):
        (given,) = (await switch(api, server, "start")).values()
        assert given == reference("ips", ip)
    static = {"ip_v4_conf": {"conf": "static", "ip": "10.0.0.9"}}
    third = await api.server(nics=[static])
    path = f"/servers/{third}/action/?do=start"
    assert (await api.post(path)).error == (403, "permission", "nics")
    await switch(api, first, "stop")
    assert (await api.post(path)).status == 202
    (given,) = (await switch(api, first, "start")).values()
    assert given == reference("ips", "10.0.0.11")

    # Another account has addresses of its own, and sees no others.
    theirs = await api.server(nics=[card("00:00:09")], by=BOB)
    assert (await api.get("/ips/10.0.0.9/", by=BOB)).status == 404
    (given,) = (await switch(api, theirs, "start", by=BOB)).values()
    assert given == reference("ips", "10.0.0.9")
    assert (await api.get("/ips/", by=BOB)).json["meta"]["total_count"] == 1
    assert (await shown(api, "/ips/10.0.0.9/"))["server"]["uuid"] == third


async def test_an_address_can_only_be_read(api: Api):
    """It is gone when its server stops: nothing that is sent for it is taken, nor seems to be."""
    await switch(api, await api.server(nics=[card("00:00:07")]), "start")
    before = await shown(api, "/ips/10.0.0.7/")
    answer = await api.put("/ips/10.0.0.7/", {**before, "meta": {"a": "b"}})
    assert answer.error == (405, "validation", None)
    assert answer.headers["Allow"] == "GET,HEAD,OPTIONS"
    said = "method PUT is not allowed on this URL, only GET, HEAD, OPTIONS"
    assert answer.json[0]["error_message"] == said
    assert await shown(api, "/ips/10.0.0.7/") == before
    assert (await shown(api, "/ips/schema/"))["allowed_detail_http_methods"] == ["get"]


async def test_addresses_are_listed_page_by_page(api: Api):
    """Like other resources: by offset, by walking, with `fields`, and one by its uuid."""
    uuids = [f"10.0.0.{nth}" for nth in range(2, 6)]
    for nth in range(2, 6):
        await switch(api, await api.server(nics=[card(f"00:00:0{nth}")]), "start")
    assert await listed(api, "/ips/?limit=2&offset=1") == uuids[1:3]
    assert await listed(api, "/ips/?uuid=10.0.0.3,10.0.0.5&fields=uuid") == [uuids[1], uuids[3]]
    walked, after = [], ""
    while after is not None:
        page = await shown(api, f"/ips/?limit=3&after={after}&fields=uuid")
        walked += [each["uuid"] for each in page["objects"]]
        after = page["meta"]["next"]
    assert walked == uuids[::-1]
    assert await listed(api, "/ips/?after=&uuid=10.0.0.3&uuid=10.0.0.3,10.0.0.4") == [uuids[1]]
    schema = await shown(api, "/ips/schema/")
    assert set(schema["fields"]) == set(IP)
    assert {field["readonly"] for field in schema["fields"].values()} == {True}
