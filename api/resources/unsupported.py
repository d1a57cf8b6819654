"""What clients ask a cloud for besides drives and servers; most of it does not exist here."""

from collections.abc import Mapping

from aiohttp import web

from api.http.requests import Page, page
from api.http.responses import JsonObject, json_answer, page_answer
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

ABSENT = (
    "acls",
    "balance",
    "currentusage",
    "fwpolicies",
    "licenses",
    "pricing",
    "remotesnapshots",
    "snapshots",
    "subscriptions",
    "vlans",
)
"""Kinds of resources that no account has: there is no network, billing or snapshot here."""

_HOST_LIMITS: JsonObject = {
    "cpu": {"min": CPU_LEAST_MHZ, "max": CPU_MOST_MHZ},
    "cpu_per_smp": {"min": CPU_PER_SMP_LEAST_MHZ, "max": CPU_PER_SMP_MOST_MHZ},
    "mem": {"min": MEM_LEAST, "max": MEM_MOST},
    "smp": {"min": 1, "max": SMP_MOST},
}
_CLOUD_STATUS: JsonObject = {
    "free_tier": {"dssd": 0, "mem": 0},
    "free_tier_monthly": {"tx": 0},
    "guest": False,
    "host_availability_zones": False,
    "paas": [],
    "remote_snapshots": False,
    "signup": False,
    "sso": [],
    "trial": False,
    "vmware": False,
    "vpc": False,
}


class SideResources:
    """Handlers of the single resources that clients read before they do anything."""

    def __init__(self, service: Service) -> None:
        self._capabilities = capabilities(service.pools)

    async def capabilities(self, request: web.Request) -> web.Response:
        """Show the limits that are enforced, as integers; one object, never a list."""
        return json_answer(self._capabilities)

    async def capabilities_schema(self, request: web.Request) -> web.Response:
        return json_answer(
            {"allowed_methods": ["get"], "help_text": "What can be had, and how much of it."}
        )

    async def cloud_status(self, request: web.Request) -> web.Response:
        """Show which parts of the public cloud exist here: hardly any."""
        return json_answer(_CLOUD_STATUS)

    async def locations(self, request: web.Request) -> web.Response:
        """List one place, this one, at the address by which the client has reached it."""
        return page_answer(Page(0, 0), 1, [_location(request)])


async def empty_list(request: web.Request) -> web.StreamResponse:
    """Answer with the list of something that no account has."""
    return page_answer(page(request), 0, [])


async def nothing(request: web.Request) -> web.StreamResponse:
    """Raise `NotFound` for one of those things."""
    raise NotFound(f"nothing with uuid {request.match_info['uuid']}")


def capabilities(pools: Mapping[str, Pool]) -> JsonObject:
    """Return the limits of drives and servers, given the storage types of the pools.

    The program's own version is here, because clients read this first.
    """
    types = sorted({pool.storage_type for pool in pools.values()})
    return {
        "backfilling": False,
        "default_storage_type": default_storage_type(pools),
        "drives": {storage_type: _drive_limits(storage_type) for storage_type in types},
        "hosts": {"amd": _HOST_LIMITS, "intel": _HOST_LIMITS},
        "hypervisors": {"kvm": ["intel", "amd"]},
        "remote_snapshots": {"current": 0, "max": 0, "remote_locations": []},
        "servers": {
            **_HOST_LIMITS,
            "default_start_method": "regular",
            "start_methods": ["regular"],
        },
        "snapshots": {"current": 0, "max": 0, "max_per_drive": 0},
        "version": VERSION,
    }


def _drive_limits(storage_type: str) -> JsonObject:
    """Return sizes in bytes. Operations per second are neither promised nor limited."""
    least = least_size(storage_type)
    return {
        "iops": {"base": 0, "max": 0, "min": 0},
        "max_size": SIZE_MOST,
        "min_size": least,
        "size": {"max": SIZE_MOST, "min": least},
    }


def _location(request: web.Request) -> JsonObject:
    endpoint = f"{request.scheme}://{request.host}{API_ROOT}/"
    websocket = "wss" if request.scheme == "https" else "ws"
    return {
        "alternative_frontend_url": "",
        "api_endpoint": endpoint,
        "country_code": "",
        "default_frontend_signup_url": "",
        "default_frontend_url": "",
        "display_name": "Job Ledger",
        "documentation_url": f"{request.scheme}://{request.host}/api/docs/",
        "id": "LOCAL",
        "upload_url": endpoint,
        "websocket_url": f"{websocket}://{request.host}/websocket",
    }
