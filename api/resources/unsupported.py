"""What clients request besides drives and servers; most of it does not exist here."""

from collections.abc import Container, Mapping
from typing import Annotated, Literal

from aiohttp import hdrs, web
from msgspec import UNSET, Struct, UnsetType

from api.http.fields import Count, NoObjects, Representation, about
from api.http.requests import Page, page
from api.http.responses import ListMeta, json_answer, page_answer, page_meta
from api.resources.account_bodies import CURRENCY, Decimal
from api.resources.drives.bodies import SIZE_MOST, default_storage_type, least_size
from api.resources.servers.bodies import (
    CPU_LEAST_MHZ,
    CPU_MOST_MHZ,
    CPU_PER_SMP_MOST_MHZ,
    MEM_LEAST,
    MEM_MOST,
    SMP_MOST,
)
from api.service.service import Service
from api.service.version import VERSION
from api.text.urls import API_ROOT
from ledger.domain.aggregates.server import CPU_PER_SMP_LEAST_MHZ
from ledger.domain.errors import NotFound
from ledger.images.pools import Pool

_NOTHING = "0.00000000000000000000"

ABSENT = (
    "acls",
    "fwpolicies",
    "licenses",
    "remotesnapshots",
    "snapshots",
    "subscriptions",
    "vlans",
)
"""Kinds of resources that no account has: there is no network, billing or snapshot here."""


class Balance(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nothing costs anything here."""

    balance: Annotated[Decimal, about("Amount of money in the account.")] = _NOTHING
    currency: Annotated[str, about("Currency of the account.")] = CURRENCY


class Usage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much is used of something that could be billed: nothing is counted."""

    burst: Literal[0] = 0
    subscribed: Literal[0] = 0
    using: Literal[0] = 0


class CurrentUsage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    balance: Annotated[Balance, about("Balance of the account.")] = Balance()
    usage: Annotated[dict[str, Usage], about("Usage by resource.")]


class Price(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    currency: Annotated[str, about("Currency of the price.")] = CURRENCY
    id: str
    level: Annotated[Literal[0], about("Burst level that the price is for.")] = 0
    multiplier: Annotated[int, about("Units per second in one unit of the price.")]
    price: Annotated[Decimal, about("Price of a unit.")] = _NOTHING
    resource: Annotated[str, about("What the price is for.")]
    unit: Annotated[str, about("Unit of the price.")]


Levels = dict[str, Count]
"""How much of each resource the account is billed in advance: nothing."""


class Pricing(Representation, frozen=True):
    current: Levels
    meta: ListMeta
    next: Levels
    objects: tuple[Price, ...]


class Endpoints(Representation, frozen=True):
    """The URLs of a kind of resource."""

    list_endpoint: str
    schema: str | UnsetType = UNSET


class CapabilitiesSchema(Representation, frozen=True):
    allowed_methods: tuple[str, ...] = ("get",)
    help_text: str = "What can be had, and how much of it."


class EmptyList(Representation, frozen=True):
    meta: ListMeta
    objects: NoObjects = ()


_HOUR_S = 3600
_MONTH_S = 30 * 24 * _HOUR_S
_GB_MONTH = ("GB/month", 1024**3 * _MONTH_S)
_BILLED = {
    "cpu": ("GHz/hour", 1000 * _HOUR_S),
    "dssd": _GB_MONTH,
    "ip": ("IP", _MONTH_S),
    "mem": ("GB/hour", 1024**3 * _HOUR_S),
    "sms": ("SMS", 1),
    "ssd": _GB_MONTH,
    "tx": ("GB", 1024**3),
    "vlan": ("VLAN", _MONTH_S),
    "zadara": _GB_MONTH,
}
"""What the public API bills: the unit of the price, and how many base units it has."""
_USAGE = CurrentUsage(usage={name: Usage() for name in _BILLED})
_PRICES = tuple(
    Price(id=str(number), resource=name, unit=unit, multiplier=multiplier)
    for number, (name, (unit, multiplier)) in enumerate(_BILLED.items(), start=1)
)
_LEVELS = dict.fromkeys(_BILLED, 0)


class Bounds(Representation, frozen=True):
    min: int
    max: int


class HostLimits(Representation, frozen=True):
    cpu: Bounds = Bounds(CPU_LEAST_MHZ, CPU_MOST_MHZ)
    cpu_per_smp: Bounds = Bounds(CPU_PER_SMP_LEAST_MHZ, CPU_PER_SMP_MOST_MHZ)
    mem: Bounds = Bounds(MEM_LEAST, MEM_MOST)
    smp: Bounds = Bounds(1, SMP_MOST)


class ServerLimits(HostLimits, frozen=True):
    default_start_method: str = "regular"
    start_methods: tuple[str, ...] = ("regular",)


class Iops(Representation, frozen=True):
    """Operations per second are neither promised nor limited."""

    base: int = 0
    max: int = 0
    min: int = 0


class DriveLimits(Representation, frozen=True):
    """Sizes in bytes."""

    max_size: int
    min_size: int
    size: Bounds
    iops: Iops = Iops()


class Hosts(Representation, frozen=True):
    amd: HostLimits = HostLimits()
    intel: HostLimits = HostLimits()


class Hypervisors(Representation, frozen=True):
    kvm: tuple[str, ...] = ("intel", "amd")


class RemoteSnapshots(Representation, frozen=True):
    current: int = 0
    max: int = 0
    remote_locations: tuple[str, ...] = ()


class Snapshots(Representation, frozen=True):
    current: int = 0
    max: int = 0
    max_per_drive: int = 0


class Capabilities(Representation, frozen=True):
    """The limits of drives and servers. Clients read this first, so the version is here."""

    default_storage_type: str
    drives: Annotated[dict[str, DriveLimits], about("By storage type.")]
    backfilling: Literal[False] = False
    hosts: Hosts = Hosts()
    hypervisors: Hypervisors = Hypervisors()
    remote_snapshots: RemoteSnapshots = RemoteSnapshots()
    servers: ServerLimits = ServerLimits()
    snapshots: Snapshots = Snapshots()
    version: Annotated[str, about("Of Job Ledger.")] = VERSION


class CloudStatus(Representation, frozen=True):
    """Which parts of the public cloud exist here: hardly any."""

    free_tier: dict[str, int]
    free_tier_monthly: dict[str, int]
    guest: bool = False
    host_availability_zones: bool = False
    paas: tuple[str, ...] = ()
    remote_snapshots: bool = False
    signup: bool = False
    sso: tuple[str, ...] = ()
    trial: bool = False
    vmware: bool = False
    vpc: bool = False


_CLOUD_STATUS = CloudStatus({"dssd": 0, "mem": 0}, {"tx": 0})


class Location(Representation, frozen=True):
    """A place where the service is: this one, at the address that the client has used."""

    api_endpoint: str
    documentation_url: str
    upload_url: str
    websocket_url: str
    alternative_frontend_url: str = ""
    country_code: str = ""
    default_frontend_signup_url: str = ""
    default_frontend_url: str = ""
    display_name: str = "Job Ledger"
    id: str = "LOCAL"


class SideResources:
    """Handlers of the single resources that clients read before they do anything."""

    def __init__(self, service: Service) -> None:
        self._capabilities = capabilities(service.pools)

    async def capabilities(self, request: web.Request) -> web.Response:
        """Show the limits that are enforced, as integers; one object, never a list."""
        return json_answer(self._capabilities)

    async def capabilities_schema(self, request: web.Request) -> web.Response:
        return json_answer(CapabilitiesSchema())

    async def balance(self, request: web.Request) -> web.Response:
        return json_answer(Balance())

    async def current_usage(self, request: web.Request) -> web.Response:
        return json_answer(_USAGE)

    async def pricing(self, request: web.Request) -> web.Response:
        """List a price of nothing for each resource, beside the levels of now and of later."""
        asked = page(request)
        shown = _PRICES[asked.bounds]
        meta = page_meta(asked, len(_PRICES))
        return json_answer(Pricing(current=_LEVELS, meta=meta, next=_LEVELS, objects=shown))

    async def index(self, request: web.Request) -> web.Response:
        """List what there is below the API's root, each with the URLs of its list and schema."""
        urls = {
            resource.canonical
            for resource in request.app.router.resources()
            if any(route.method == hdrs.METH_GET for route in resource)
        }
        kinds = filter(None, map(_kind, sorted(urls)))
        return json_answer({kind: _endpoints(f"{API_ROOT}/{kind}", urls) for kind in kinds})

    async def cloud_status(self, request: web.Request) -> web.Response:
        return json_answer(_CLOUD_STATUS)

    async def locations(self, request: web.Request) -> web.Response:
        """List one place, this one, at the address by which the client has reached it."""
        return page_answer(Page(0, 0), 1, [_location(request)])


def _kind(url: str) -> str | None:
    """Return the kind of resource that a URL lists, if it is such a URL."""
    name = url.removeprefix(f"{API_ROOT}/")
    is_list = url == f"{API_ROOT}/{name}" and name.replace("_", "").isalpha()
    return name if is_list and name != "websocket" else None


def _endpoints(url: str, urls: Container[str]) -> Endpoints:
    schema = f"{url}/schema"
    return Endpoints(f"{url}/", f"{schema}/" if schema in urls else UNSET)


async def empty_list(request: web.Request) -> web.StreamResponse:
    """Answer with the list of something that no account has."""
    return json_answer(EmptyList(page_meta(page(request), 0)))


async def nothing(request: web.Request) -> web.StreamResponse:
    """Raise `NotFound` for one of those things."""
    raise NotFound(f"nothing with uuid {request.match_info['uuid']}")


def capabilities(pools: Mapping[str, Pool]) -> Capabilities:
    """Return the limits of drives and servers, given the storage types of the pools."""
    types = sorted({pool.storage_type for pool in pools.values()})
    limits = {storage_type: _drive_limits(storage_type) for storage_type in types}
    return Capabilities(default_storage_type(pools), limits)


def _drive_limits(storage_type: str) -> DriveLimits:
    least = least_size(storage_type)
    return DriveLimits(SIZE_MOST, least, Bounds(least, SIZE_MOST))


def _location(request: web.Request) -> Location:
    endpoint = f"{request.scheme}://{request.host}{API_ROOT}/"
    websocket = "wss" if request.scheme == "https" else "ws"
    return Location(
        api_endpoint=endpoint,
        documentation_url=f"{request.scheme}://{request.host}/api/docs/",
        upload_url=endpoint,
        websocket_url=f"{websocket}://{request.host}/websocket",
    )
