"""The description of `/api/v1`: valid, complete, and true to the router."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from api.app import make_app
from api.service.service import Service
from api.v1.problem_kinds import PROBLEMS
from tests.v1.calling import DOCUMENT, METHODS, ROOT, V1

OPERATIONS = {
    f"{method} {path}": item[method]
    for path, item in DOCUMENT["paths"].items()
    for method in METHODS
    if method in item
}


def within(value: Any) -> Iterator[dict[str, Any]]:
    """All objects in the document, however deep."""
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from within(each)
    elif isinstance(value, list):
        for each in value:
            yield from within(each)


def looked_up(pointer: str) -> Any:
    found = DOCUMENT
    for key in pointer.removeprefix("#/").split("/"):
        found = found[key]
    return found


@pytest.mark.thorough
def test_it_is_openapi() -> None:
    """The document is valid by the metaschema of OpenAPI 3.1."""
    import schemathesis  # noqa: PLC0415 - half a second, for each process that only collects

    schemathesis.openapi.from_dict(DOCUMENT).validate()


def test_it_describes_every_route(service: Service) -> None:
    """Every URL below `/api/v1` is described with its methods, and no other."""
    served = {
        f"{route.method.lower()} {route.resource.canonical}"
        for route in make_app(service).router.routes()
        if route.resource is not None and route.resource.canonical.startswith(ROOT)
    }
    served = {each for each in served if not each.startswith("head ")}
    assert served - set(OPERATIONS) == set(), "not described"
    assert set(OPERATIONS) - served == set(), "not served"


def test_every_operation_has_problems() -> None:
    """What is no success is a problem document, and each operation has an id of its own."""
    for name, operation in OPERATIONS.items():
        assert operation["responses"]["default"] == {"$ref": "#/components/responses/Problem"}, name
        assert all(status < "400" or status == "default" for status in operation["responses"])
    names = [operation["operationId"] for operation in OPERATIONS.values()]
    assert sorted(set(names)) == sorted(names)


def test_references_lead_somewhere() -> None:
    """Whatever refers to a component names one that is there, and every schema is used."""
    pointers = {each["$ref"] for each in within(DOCUMENT) if "$ref" in each}
    for pointer in pointers:
        assert looked_up(pointer), pointer
    there = {f"#/components/schemas/{name}" for name in looked_up("components/schemas")}
    assert there - pointers == set()


def test_parameters_of_urls() -> None:
    """What a URL has between braces is a parameter of it, and the other way about."""
    for path, item in DOCUMENT["paths"].items():
        parameters = [
            looked_up(each["$ref"]) if "$ref" in each else each
            for each in item.get("parameters", [])
        ]
        named = {each["name"] for each in parameters if each["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", path)), path


async def test_it_is_served_and_so_are_the_meanings_of_problems(v1: V1) -> None:
    """Whoever asks gets the document, what the service is, and every problem in words."""
    assert (await v1.get("/openapi.json", by=None)).json == DOCUMENT
    about = await v1.get("", by=None)
    assert about.status == 200
    assert about.json["limits"]["end_bytes"] == 72 * 1024
    for name, kind in PROBLEMS.items():
        meaning = await v1.get(f"/problems/{name}", by=None)
        assert meaning.json["about"] == kind.about
    assert (await v1.refused("GET", "/problems/nonsense", by=None))["type"] == "not-found"
