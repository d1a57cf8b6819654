"""`GET /api/v1`: what this service is, and what clients may rely on."""

from aiohttp import web

from api.http.fields import Representation
from api.http.responses import json_answer
from api.service.version import VERSION
from api.v1.bodies import END_BYTES, REGISTRATION_BYTES, REPORT_BYTES
from api.v1.sdk import sdk
from ledger.domain.labels import CHANGES_MOST, LABELS_MOST

FEATURES: tuple[str, ...] = (
    *("cancels", "events", "jobs", "lenient", "lists", "problems", "reports", "tokens"),
)
"""Parts of this base that clients may look for; each is there whole or is not named."""


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


async def show_about(request: web.Request) -> web.Response:
    found = AboutSdk(sdk().version, sdk().address, sdk().sha256)
    return json_answer(About(VERSION, FEATURES, AboutLimits(), found))
