"""`GET /api/v1`: what this service is, and what clients may rely on; `/sdk`: the SDK for Python."""

import hashlib
import re
from functools import cache
from pathlib import Path

from aiohttp import hdrs, web
from msgspec import Struct

from api.http.fields import Representation
from api.http.responses import json_answer
from api.sdk_file import SDK_FILE
from api.service.version import VERSION
from api.text.urls import V1_ROOT
from api.v1.bodies import END_BYTES, REGISTRATION_BYTES, REPORT_BYTES
from api.v1.problems import Problem
from ledger.domain.labels import CHANGES_MOST, LABELS_MOST

FEATURES: tuple[str, ...] = (
    *("cancels", "control", "events", "jobs", "lenient", "lists", "problems", "reports", "tokens"),
)
"""Parts of this base that clients may look for; each is there whole or is not named."""

_VERSION = re.compile(rb'^__version__ = "([0-9.]+)"$', re.MULTILINE)


class AboutLimits(Representation, frozen=True):
    """How long bodies may be, and how many things one job may have."""

    registration_bytes: int = REGISTRATION_BYTES
    report_bytes: int = REPORT_BYTES
    end_bytes: int = END_BYTES
    labels: int = LABELS_MOST
    label_changes: int = CHANGES_MOST


class AboutSdk(Representation, frozen=True):
    """The SDK for Python of this release. Its address is for its version only."""

    version: str
    address: str
    sha256: str


class About(Representation, frozen=True):
    version: str
    features: tuple[str, ...]
    limits: AboutLimits
    sdk: AboutSdk


class _Sdk(Struct, frozen=True):
    """The SDK of this release: what is told of it, and its file."""

    told: AboutSdk
    content: bytes


@cache
def _sdk() -> _Sdk:
    content = Path(SDK_FILE).read_bytes()
    found = _VERSION.search(content)
    assert found is not None
    version = found[1].decode()
    address = f"{V1_ROOT}/sdk/job_ledger-{version}.py"
    return _Sdk(AboutSdk(version, address, hashlib.sha256(content).hexdigest()), content)


async def show_about(request: web.Request) -> web.Response:
    return json_answer(About(VERSION, FEATURES, AboutLimits(), _sdk().told))


async def get_sdk(request: web.Request) -> web.Response:
    """Answer with the file; what is at its address never changes."""
    told = _sdk().told
    if not told.address.endswith(f"/{request.match_info['name']}"):
        raise Problem("not-found", f"This service has the SDK at {told.address}.")
    headers = {
        hdrs.CONTENT_TYPE: "text/x-python; charset=utf-8",
        "X-Content-Type-Options": "nosniff",
        hdrs.CACHE_CONTROL: "public, max-age=31536000, immutable",
        hdrs.ETAG: f'"{told.sha256}"',
    }
    return web.Response(body=_sdk().content, headers=headers)
