"""The service serves the SDK of its release, under an address whose content never changes."""

import hashlib
from pathlib import Path

from api.sdk_file import SDK_FILE
from tests.v1.calling import V1


async def test_the_sdk_is_served_as_the_service_describes_it(v1: V1) -> None:
    """Anyone may get it, and can check that it is what it is said to be; nothing runs it."""
    told = (await v1.get("", by=None)).json["sdk"]
    answer = await v1.get(told["address"], by=None)
    assert answer.status == 200
    assert answer.body == Path(SDK_FILE).read_bytes()
    assert hashlib.sha256(answer.body).hexdigest() == told["sha256"]
    assert f'__version__ = "{told["version"]}"'.encode() in answer.body
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Type"] == "text/x-python; charset=utf-8"
    assert "immutable" in answer.headers["Cache-Control"]


async def test_another_version_is_not_there(v1: V1) -> None:
    refused = await v1.refused("GET", "/sdk/job_ledger-0.0.1.py", by=None)
    assert refused["type"] == "not-found"
