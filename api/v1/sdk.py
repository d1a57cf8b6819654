"""The SDK, as clients get it: under an address with its version, whose content never changes."""

import hashlib
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from aiohttp import hdrs, web

from api.sdk_file import SDK_FILE
from api.text.urls import V1_ROOT
from api.v1.problems import Problem

_VERSION = re.compile(r'^__version__ = "([0-9.]+)"$', re.MULTILINE)


class Sdk(NamedTuple):
    """The file of this release."""

    version: str
    content: bytes

    @property
    def name(self) -> str:
        return f"job_ledger-{self.version}.py"

    @property
    def address(self) -> str:
        return f"{V1_ROOT}/sdk/{self.name}"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@cache
def sdk() -> Sdk:
    content = Path(SDK_FILE).read_bytes()
    found = _VERSION.search(content.decode())
    assert found is not None
    return Sdk(found[1], content)


async def get_sdk(request: web.Request) -> web.Response:
    if request.match_info["name"] != sdk().name:
        raise Problem("not-found", f"This service has the SDK {sdk().address}.")
    headers = {
        hdrs.CONTENT_TYPE: "text/x-python; charset=utf-8",
        "X-Content-Type-Options": "nosniff",
        hdrs.CACHE_CONTROL: "public, max-age=31536000, immutable",
        hdrs.ETAG: f'"{sdk().sha256}"',
    }
    return web.Response(body=sdk().content, headers=headers)
