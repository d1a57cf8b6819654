"""The application on a port of the test's own, over the connections that users get."""

from typing import Any

from aiohttp.test_utils import TestServer
from aiohttp.web_runner import BaseRunner

from api.http.wire.server import ApiRunner


class ApiServer(TestServer):
    """aiohttp's server for tests, with our connections instead of its own."""

    async def _make_runner(self, **given: Any) -> BaseRunner:
        return ApiRunner(self.app, prefix="test", **given)
