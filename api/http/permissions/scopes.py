"""What a token with scopes may use: what is listed here, and nothing else.

Logins, sessions and tokens without scopes may use whatever their account may. A URL that nobody has
listed is refused to all others, so a new one is closed until somebody decides which scope it takes.
"""

import asyncio
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Literal, NamedTuple

from aiohttp import web

from api.accounts.grants import OF_PREFIX, Grant, ScopeMissing
from api.accounts.scopes import Scope
from api.service.request_rates import Kind
from api.text.urls import API_ROOT, V1_ROOT
from ledger.application import Ledger
from ledger.domain.errors.quotas import QuotaExceeded
from ledger.store.bounded_cache import BoundedCache
from ledger.store.tables.registrations import Registration, find
from projections.views.belongings import running_below

Reach = Literal["account", "job", "asked", "no jobs"]
"""What a request is about: all jobs of the account; the job in the URL; those about which the
handler asks the grant; no jobs. A token that reaches only some jobs is refused where it would see
all of them, and the token of a job also where there are none."""

KNOWN_MOST = 10_000
KNOWN_BYTES = 16 * 1024**2
REGISTERED_BYTES = 4 * 1024
"""About how much a registration takes in memory, which never changes."""


class Listed(NamedTuple):
    """The scope that a request takes."""

    scope: Scope
    reach: Reach = "account"


def _resources() -> Iterator[tuple[tuple[str, str], Listed]]:
    """Yield what a token may do with drives, servers and the like."""
    read, write = Listed("resources:read"), Listed("resources:write")
    for kind in ("drives", "servers", "ips", "tags", "keypairs", "pubkeys", "libdrives"):
        for path in ("", "/detail", "/schema", "/{}"):
            yield ("GET", f"/{kind}{path}"), read
    for kind in ("drives", "servers", "tags", "keypairs"):
        yield ("POST", f"/{kind}"), write
        yield ("PUT", f"/{kind}/{{}}"), write
        yield ("DELETE", f"/{kind}/{{}}"), write
    for kind in ("drives", "servers"):
        yield ("PUT", f"/{kind}"), write
        yield ("DELETE", f"/{kind}"), write
        yield ("GET", f"/{kind}/availability_groups"), read
        yield ("GET", f"/{kind}/availability_groups/{{}}"), read
    for kind in ("drives", "servers", "libdrives"):
        yield ("POST", f"/{kind}/{{}}/action"), write
    for path in ("/drives/upload", "/drives/upload/{}", "/drives/{}/upload", "/initupload"):
        yield ("POST", path), write
    for path in ("/drives/{}/download", "/drives/{}/upload", "/servers/{}/runtime"):
        yield ("GET", path), read
    yield ("GET", "/tags/{}/{}"), read
    yield ("GET", "/tags/{}/{}/detail"), read


_OLD: Mapping[tuple[str, str], Listed] = {
    **dict(_resources()),
    **{
        ("GET", f"/jobs{path}"): Listed("jobs:read")
        for path in ("", "/detail", "/schema", "/statistics")
    },
    ("GET", "/jobs/{}"): Listed("jobs:read", "job"),
    ("GET", "/jobs/{}/history"): Listed("jobs:read", "job"),
    ("POST", "/jobs/{}/action"): Listed("jobs:cancel", "job"),
    **{
        ("GET", f"/ledger/{path}"): Listed("ledger:read")
        for path in (
            *("checkpoint", "proofs/inclusion", "proofs/consistency"),
            *("status", "accounts", "retention", "retention/plan"),
        )
    },
}
_NEW: Mapping[tuple[str, str], Listed] = {
    ("POST", "/jobs"): Listed("jobs:register", "asked"),
    ("PUT", "/jobs/{}"): Listed("jobs:register", "asked"),
    ("GET", "/jobs/{}"): Listed("jobs:read", "job"),
    ("POST", "/jobs/{}/attempts"): Listed("jobs:report", "job"),
    ("POST", "/jobs/{}/reports"): Listed("jobs:report", "job"),
    ("POST", "/reports"): Listed("jobs:report", "asked"),
    ("GET", "/control"): Listed("jobs:report", "asked"),
    ("GET", "/jobs/{}/control"): Listed("jobs:report", "job"),
    ("POST", "/jobs/{}/end"): Listed("jobs:report", "job"),
    ("POST", "/jobs/{}/seal"): Listed("jobs:register", "job"),
    ("POST", "/jobs/{}/cancel"): Listed("jobs:cancel", "job"),
    ("POST", "/jobs/{}/labels"): Listed("jobs:label", "job"),
    ("DELETE", "/jobs/{}/texts"): Listed("jobs:label", "job"),
    ("GET", "/jobs"): Listed("jobs:read", "asked"),
    ("POST", "/cancels"): Listed("jobs:cancel"),
    ("GET", "/events"): Listed("events:read"),
    ("GET", "/tokens"): Listed("tokens:manage", "no jobs"),
    ("POST", "/tokens"): Listed("tokens:manage", "no jobs"),
    ("DELETE", "/tokens/{}"): Listed("tokens:manage", "no jobs"),
    ("GET", "/account"): Listed("jobs:read", "no jobs"),
}
_RATES: Mapping[Scope, Kind] = {
    "jobs:register": "registrations",
    "jobs:cancel": "cancels",
    "jobs:label": "labels",
    "jobs:read": "reads",
    "events:read": "reads",
}
LISTED: Mapping[tuple[str, str], Listed] = {
    **{(method, API_ROOT + path): listed for (method, path), listed in _OLD.items()},
    **{(method, V1_ROOT + path): listed for (method, path), listed in _NEW.items()},
}
"""By method and URL, with `{}` for each of its parts that vary."""


@lru_cache(maxsize=1024)
def url_of(canonical: str) -> str:
    """Return a route's URL as the list names it."""
    parts = canonical.rstrip("/").split("/")
    return "/".join("{}" if part.startswith("{") else part for part in parts)


def listed(method: str, canonical: str) -> Listed | None:
    """Return which scope a request takes; None if no token with scopes may make it."""
    return LISTED.get(("GET" if method == "HEAD" else method, url_of(canonical)))


def rate_of(method: str, canonical: str) -> Kind | None:
    """Return as what a request of `/api/v1` counts for its token and account."""
    found = listed(method, canonical) if canonical.startswith(f"{V1_ROOT}/") else None
    return None if found is None else _RATES.get(found.scope)


JOB_SCOPES: web.AppKey["JobScopes"] = web.AppKey("job-scopes")


class JobScopes:
    """Checks which requests a grant allows, and about which jobs."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._known: BoundedCache[Registration] = BoundedCache(KNOWN_MOST, KNOWN_BYTES, _bytes_of)

    async def check(self, request: web.Request, grant: Grant) -> None:
        """Raise `ScopeMissing` unless the grant allows the request."""
        if not grant.scoped:
            return
        resource = request.match_info.route.resource
        found = None if resource is None else listed(request.method, resource.canonical)
        if found is None:
            raise ScopeMissing("a token with scopes may not do this")
        grant.require(found.scope)
        if found.reach == "job":
            await self.check_job(grant, found.scope, _job_in(request))
        elif found.reach == "account" and grant.is_narrow:
            raise ScopeMissing("a token that is restricted to some jobs may not do this")
        elif found.reach == "no jobs" and grant.job is not None:
            raise ScopeMissing(f"the token is for job {grant.job.job}")

    async def check_job(self, grant: Grant, scope: Scope, job: str) -> None:
        """Raise `ScopeMissing` unless the grant reaches the job, or nobody knows it."""
        if grant.job is not None and grant.job.job != job:
            raise ScopeMissing(f"the token is for job {grant.job.job}", scope)
        if grant.job is not None or not grant.scoped:
            return
        if not (grant.is_narrow or scope in OF_PREFIX):
            return
        registration = self._known.get(job)
        if registration is None:
            registration = await asyncio.to_thread(self._ledger.read, lambda c: find(c, job))
            if registration is None:
                return
            self._known.put({job: registration})
        if not grant.reaches(registration.registered, scope):
            raise ScopeMissing("the token does not reach this job", scope)

    async def check_running(self, grant: Grant) -> None:
        """Raise `QuotaExceeded` if as many jobs run as the token may have at once.

        Those count whose source is the token's or lies below it. As with all quotas, requests at
        the same moment may exceed it by a few.
        """
        most, source, owner = grant.restrictors.max_running, grant.source, grant.account.uuid
        if most is None or source is None:
            return
        running = await asyncio.to_thread(
            self._ledger.read, lambda c: running_below(c, owner, source, most)
        )
        if running >= most:
            raise QuotaExceeded("max-running", most)


def _job_in(request: web.Request) -> str:
    return next(iter(request.match_info.values())).lower()


def _bytes_of(registration: Registration) -> int:
    return 0 if registration.registered is None else REGISTERED_BYTES
