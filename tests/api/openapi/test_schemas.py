"""What `/schema/` and the API's description say can be done, can be; nothing else is named."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.calling import ALICE, UNKNOWN, Api
from tests.api.openapi.test_openapi import OPERATIONS, looked_up
from tests.contract.resources.test_libdrives import add

METHODS = ("get", "put", "delete", "post")
OF_ANY_LIST = {"limit", "offset", "after", "fields", "order_by", "owner", "as_of"}
KINDS = sorted(
    found[1]
    for name in OPERATIONS
    if (found := re.fullmatch(r"get /api/2\.0/(\w+)/schema/", name))
    and found[1] != "capabilities"  # which describes no resource
)


def parameters(operation: str) -> Iterator[dict[str, Any]]:
    for each in OPERATIONS[operation].get("parameters", ()):
        yield looked_up(each["$ref"]) if "$ref" in each else each


async def test_filters_are_those_that_are_described(api: Api, subtests: pytest.Subtests) -> None:
    """Each schema names the parameters of its list, each with its lookup, and no other."""
    for kind in KINDS:
        schema = (await api.get(f"/{kind}/schema/")).json
        described = {
            each["name"] for each in parameters(f"get /api/2.0/{kind}/") if each["in"] == "query"
        }
        with subtests.test(kind):
            assert set(schema["filtering"]) == described - OF_ANY_LIST
            assert bool(schema["ordering"]) == ("order_by" in described)
            for parameter, lookup in schema["filtering"].items():
                suffix = parameter.rpartition("__")[2]
                assert lookup == ("exact" if suffix in ("name", parameter) else suffix)


async def test_methods_are_those_of_the_schema(api: Api, subtests: pytest.Subtests) -> None:
    """What is named is allowed, what is not is a 405, and OPTIONS says the same."""
    for kind in KINDS:
        schema = (await api.get(f"/{kind}/schema/")).json
        urls = {f"/{kind}/": schema["allowed_list_http_methods"]}
        if f"get /api/2.0/{kind}/{{uuid}}/" in OPERATIONS:
            urls[f"/{kind}/{UNKNOWN}/"] = schema["allowed_detail_http_methods"]
        for url, allowed in urls.items():
            options = await api.call("OPTIONS", url)
            assert options.body.decode().lower().split(",") == allowed
            for method in METHODS:
                with subtests.test(url=url, method=method):
                    answer = await api.call(method.upper(), url)
                    assert (answer.status != 405) == (method in allowed)


async def test_actions_are_those_that_are_described(
    api: Api, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    """Each is known to the service, and no other."""
    library_drive = await add(api, tmp_path)
    for operation in OPERATIONS:
        found = re.fullmatch(r"post (/api/2\.0/(\w+)/(?:\{uuid\}/)?action/)", operation)
        if found is None:
            continue
        (do,) = (each for each in parameters(operation) if each["name"] == "do")
        uuid = library_drive if found[2] == "libdrives" else UNKNOWN
        url = found[1].replace("{uuid}", uuid)
        caller = None if found[2] == "accounts" else ALICE
        with subtests.test(operation):
            for action in (*do["schema"]["enum"], "nonsense"):
                answer = await api.post(f"{url}?do={action}", by=caller)
                known = answer.status < 400 or answer.error[2] != "do"
                assert known == (action != "nonsense"), action
            told = answer.json[0]["error_message"].partition("must be one of ")[2]
            assert sorted(told.split(", ")) == sorted(do["schema"]["enum"])
