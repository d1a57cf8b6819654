"""`/capabilities/`, `/cloud_status/`, `/locations/` and the resources of which there are none.

tests/contract/CONTRACT.md 5.
"""

from api.resources.account_bodies import CURRENCY
from api.resources.drives.bodies import least_size
from api.resources.unsupported import ABSENT
from api.service.version import VERSION
from tests.api.calling import UNKNOWN, Api
from tests.harness.cases import in_turn

GIB = 1024**3

LIMITS = {"min": int, "max": int}
HOST = {"cpu": LIMITS, "cpu_per_smp": LIMITS, "mem": LIMITS, "smp": LIMITS}
CAPABILITIES = {
    "backfilling": bool,
    "default_storage_type": str,
    "drives": {
        "dssd": {
            "iops": {"base": int, "max": int, "min": int},
            "max_size": int,
            "min_size": int,
            "size": LIMITS,
        }
    },
    "hosts": {"amd": HOST, "intel": HOST},
    "hypervisors": {"kvm": list},
    "remote_snapshots": {"current": int, "max": int, "remote_locations": list},
    "servers": {**HOST, "default_start_method": str, "start_methods": list},
    "snapshots": {"current": int, "max": int, "max_per_drive": int},
    "version": str,
}
CLOUD_STATUS = {
    "free_tier": {"dssd": int, "mem": int},
    "free_tier_monthly": {"tx": int},
    "guest": bool,
    "host_availability_zones": bool,
    "paas": list,
    "remote_snapshots": bool,
    "signup": bool,
    "sso": list,
    "trial": bool,
    "vmware": bool,
    "vpc": bool,
}
LOCATION = dict.fromkeys(
    (
        "alternative_frontend_url",
        "api_endpoint",
        "country_code",
        "default_frontend_signup_url",
        "default_frontend_url",
        "display_name",
        "documentation_url",
        "id",
        "upload_url",
        "websocket_url",
    ),
    str,
)


def shape(value: object) -> object:
    """The keys of objects, however deep, and the types of what they hold."""
    if isinstance(value, dict):
        return {key: shape(entry) for key, entry in value.items()}
    return type(value)


async def test_capabilities_have_every_limit_as_an_integer(api: Api):
    """The Go client decodes integers only; the Python client must see no `objects`."""
    answer = await api.get("/capabilities/?limit=0")
    assert (answer.status, shape(answer.json)) == (200, CAPABILITIES)
    schema = (await api.get("/capabilities/schema/")).json
    assert shape(schema) == {"allowed_methods": list, "help_text": str}


async def test_capabilities_name_the_version_of_the_program(api: Api):
    assert (await api.get("/capabilities/")).json["version"] == VERSION


async def test_capabilities_match_what_is_enforced(api: Api):
    """The least and the greatest of each limit is taken, and one less or more is not."""
    limits = (await api.get("/capabilities/")).json
    drive = {"name": "d", "media": "disk"}
    sizes = limits["drives"]["dssd"]["size"]
    for size, status in ((sizes["min"], 201), (sizes["min"] - 1, 400), (sizes["max"] + 1, 400)):
        assert (await api.post("/drives/", {**drive, "size": size})).status == status
    server = {"name": "s", "cpu": 1000, "mem": GIB, "vnc_password": "abc"}
    for name in ("cpu", "mem"):
        found = limits["servers"][name]
        for value, status in (
            (found["min"], 201),
            (found["min"] - 1, 400),
            (found["max"], 201),
            (found["max"] + 1, 400),
        ):
            assert (await api.post("/servers/", {**server, name: value})).status == status


def test_the_minimum_size_depends_on_the_storage_type():
    """As the public API has it."""
    assert [least_size(name) for name in ("dssd", "nvme", "zadara")] == [GIB // 2, GIB // 2, GIB]


async def test_cloud_status_names_what_is_missing(api: Api):
    """`vpc` false makes clients leave private clouds alone."""
    answer = await api.get("/cloud_status/")
    assert (answer.status, shape(answer.json)) == (200, CLOUD_STATUS)
    assert answer.json["vpc"] is False


async def test_locations_need_no_login_and_lead_back_here(api: Api):
    """One place, under the address that the client has used."""
    async with api.client.get("/api/2.0/locations/") as answer:
        assert answer.status == 200
        said = await answer.json()
        [location] = said["objects"]
    assert said["meta"] == {"limit": 0, "offset": 0, "total_count": 1}
    assert shape(location) == LOCATION
    assert location["api_endpoint"] == str(api.client.make_url("/api/2.0/"))
    assert location["websocket_url"] == str(api.client.make_url("/websocket")).replace("http", "ws")


async def test_the_cloud_status_needs_no_login(api: Api):
    """Clients ask for it before they have one."""
    assert (await api.get("/cloud_status/", by=None)).json == (await api.get("/cloud_status")).json


ZERO = "0.00000000000000000000"
USAGE = {"burst": 0, "subscribed": 0, "using": 0}


async def test_billing_has_the_documented_shapes(api: Api):
    """Other clients read these objects and crash at lists; nothing costs anything."""
    balance = (await api.get("/balance/")).json
    assert balance == {"balance": ZERO, "currency": CURRENCY}
    usage = (await api.get("/currentusage/?limit=0")).json
    assert usage["balance"] == balance
    assert {"cpu", "mem", "dssd", "ip", "vlan", "tx"} <= set(usage["usage"])
    assert all(each == USAGE for each in usage["usage"].values())
    pricing = (await api.get("/pricing/?limit=0")).json
    prices = pricing["objects"]
    assert pricing["meta"] == {"limit": 0, "offset": 0, "total_count": len(prices)}
    assert pricing["current"] == pricing["next"] == dict.fromkeys(usage["usage"], 0)
    assert {price["resource"]: price["price"] for price in prices} == dict.fromkeys(
        usage["usage"], ZERO
    )
    assert shape(prices[0]) == {
        **dict.fromkeys(("currency", "id", "price", "resource", "unit"), str),
        **dict.fromkeys(("level", "multiplier"), int),
    }
    page = (await api.get("/pricing/?limit=2&offset=1")).json["objects"]
    assert page == prices[1:3]


async def test_the_root_lists_what_there_is(api: Api):
    """Without a login; each URL that it names answers."""
    for path in ("/api/2.0/", "/api/2.0", "/api/2.0//"):
        answer = await api.get(path, by=None)
        assert answer.status == 200
    assert (await api.call("OPTIONS", "/api/2.0/", by=None)).body == b"GET"
    index = answer.json
    assert index["drives"] == {
        "list_endpoint": "/api/2.0/drives/",
        "schema": "/api/2.0/drives/schema/",
    }
    for urls in index.values():
        for url in urls.values():
            assert "at this URL" not in (await api.get(url)).body.decode()
    assert {"jobs", "servers", "tags", "profile", "locations", *ABSENT} <= set(index)


async def test_several_slashes_at_the_end_are_one(api: Api):
    """Clients add one to a resource_uri, which has one; a query may follow, and an action."""
    made = await api.post("/tags//", {"name": "fleet"})
    assert made.status == 201
    uri = made.json["objects"][0]["resource_uri"]
    assert (await api.get(f"{uri}/")).json["name"] == "fleet"
    assert (await api.get("/tags///?name=none")).json["objects"] == []
    server = await api.server()
    assert (await api.post(f"/servers/{server}/action//?do=start")).status == 202
    assert (await api.get("/drives//detail/")).status == 404


@in_turn("kind", ABSENT)
async def test_absent_resources_are_empty_lists(api: Api, kind: str):
    """An empty envelope that echoes the page, and every uuid is unknown."""
    for path in (f"/{kind}", f"/{kind}/", f"/{kind}/detail/"):
        answer = await api.get(f"{path}?limit=5&offset=2")
        meta = {"limit": 5, "offset": 2, "total_count": 0}
        assert (answer.status, answer.json) == (200, {"meta": meta, "objects": []})
    assert (await api.get(f"/{kind}/{UNKNOWN}/")).error == (404, "notexist", None)
    assert (await api.post(f"/{kind}/", {})).error == (405, "validation", None)
