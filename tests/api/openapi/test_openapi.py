"""The API's description: valid, complete, readable, and true to the router."""

import re
from collections.abc import Iterator
from itertools import product
from typing import Any, get_args

import jsonschema_rs
import orjson
import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from api.app import PAGE, make_app
from api.http.errors import ErrorType, RequestStatus, answer_to, unknown_error
from api.openapi.document import FILE, document_json
from api.service.service import Service
from api.text.urls import V1_ROOT
from ledger.domain.errors import Expected
from projections.feed.resource_kinds import KINDS
from tests.api.calling import ROOT, Api
from tests.api.expected import error_of, expected_kinds

DOCUMENT = orjson.loads(document_json())
METHODS = ("get", "put", "post", "delete")
OPERATIONS = {
    f"{method} {path}": item[method]
    for path, item in DOCUMENT["paths"].items()
    for method in METHODS
    if method in item
}
SCHEMAS = DOCUMENT["components"]["schemas"]


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


def conforms(value: Any, schema: dict[str, Any]) -> bool:
    whole = {**schema, "components": DOCUMENT["components"]}
    return jsonschema_rs.Draft202012Validator(whole).is_valid(value)


def routes(app: web.Application) -> set[str]:
    """Method and URL of all there is of the API, in the form that the document uses."""
    return {
        f"{route.method.lower()} {url}"
        for route in app.router.routes()
        if route.resource is not None
        and route.resource.name != PAGE
        and not route.resource.canonical.startswith(V1_ROOT)
        for url in urls_of(route.resource)
    }


def urls_of(resource: web.AbstractResource) -> list[str]:
    """The URL, once for each of a few names that a part of it may be."""
    choice = re.search(r"\(\?P<(\w+)>(\w+(?:\|\w+)+)\)", str(resource.get_info().get("pattern")))
    if choice is None:
        return [resource.canonical]
    part, names = choice.groups()
    return [resource.canonical.replace(f"{{{part}}}", name) for name in names.split("|")]


def slashless(urls: set[str]) -> set[str]:
    return {url.rstrip("/") for url in urls}


def test_it_is_openapi() -> None:
    """The document is valid by the metaschema of OpenAPI 3.1."""
    import schemathesis  # noqa: PLC0415 - half a second, for each process that only collects

    assert DOCUMENT["openapi"].startswith("3.1.")
    schemathesis.openapi.from_dict(DOCUMENT).validate()


def test_nothing_is_written_twice() -> None:
    """No mapping in the file has a key twice: the second would silently be the only one."""
    for mapping in mappings(yaml.compose(FILE.read_bytes(), yaml.CSafeLoader)):
        keys = [key.value for key, _ in mapping.value]
        assert sorted(set(keys)) == sorted(keys), mapping.start_mark


def mappings(node: Any) -> Iterator[yaml.MappingNode]:
    if isinstance(node, yaml.MappingNode):
        yield node
        for _, value in node.value:
            yield from mappings(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from mappings(value)


def test_it_describes_every_route(service: Service) -> None:
    """Every URL of the router is described with its methods, and no other."""
    served = {each for each in routes(make_app(service)) if not each.startswith("head ")}
    described = slashless(set(OPERATIONS))
    assert slashless(served) - described == set(), "not described"
    assert described - slashless(served) == set(), "not served"


async def test_every_url_exists_with_and_without_a_slash(service: Service) -> None:
    """No URL depends on the slash at its end, whatever the method."""
    router = make_app(service).router
    resources = [each for each in router.resources() if each.name != PAGE]
    for resource in resources:
        for url, route in product(urls_of(resource), resource):
            path = re.sub(r"\{\w+\}", "0", url)
            for form in (path, f"{path}/"):
                found = await router.resolve(make_mocked_request(route.method, form))
                assert found.route is route, form


def test_what_has_get_has_head(service: Service) -> None:
    served = routes(make_app(service))
    gets = {each.removeprefix("get ") for each in served if each.startswith("get ")}
    heads = {each.removeprefix("head ") for each in served if each.startswith("head ")}
    assert heads == gets


def test_operations_have_unique_ids() -> None:
    """No two operations have one operationId."""
    names = [operation["operationId"] for operation in OPERATIONS.values()]
    assert sorted(set(names)) == sorted(names)


def test_references_lead_somewhere() -> None:
    """Whatever refers to a component names one that is there, and every component is used."""
    pointers = {each["$ref"] for each in within(DOCUMENT) if "$ref" in each}
    for pointer in pointers:
        assert looked_up(pointer), pointer
    kinds = ("parameters", "headers", "schemas")
    there = {
        f"#/components/{kind}/{name}" for kind in kinds for name in looked_up(f"components/{kind}")
    }
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


def test_every_error_is_an_answer() -> None:
    """Each status that an error can have is described, and so is each of the types of errors."""
    described = {each["x-status"] for each in DOCUMENT["components"]["responses"].values()}
    described |= {status for operation in OPERATIONS.values() for status in operation["responses"]}
    raised = {answer_to(error).status for error in every_error()}
    raised |= {*get_args(RequestStatus), unknown_error().status}
    assert {str(status) for status in raised} - described == set()
    error = SCHEMAS["Error"]["properties"]["error_type"]
    assert set(error["enum"]) == set(get_args(ErrorType))


def every_error() -> Iterator[Expected | web.HTTPException]:
    """One of each class of errors, and what the router says."""
    yield from map(error_of, expected_kinds())
    yield web.HTTPMethodNotAllowed("GET", ["PUT"])
    yield web.HTTPNotFound()


def test_shared_answers_have_their_status() -> None:
    """A shared answer has the status everywhere that it is described with."""
    for name, operation in OPERATIONS.items():
        for status, response in operation["responses"].items():
            if "$ref" in response:
                assert looked_up(response["$ref"])["x-status"] == status, name


def test_every_error_has_the_shape_of_errors() -> None:
    """Any answer from 400 up has the list of tests/contract/CONTRACT.md 4.4 as its body."""
    for name, operation in OPERATIONS.items():
        for status, response in operation["responses"].items():
            answer = looked_up(response["$ref"]) if "$ref" in response else response
            if status >= "400":
                (content,) = answer["content"].values()
                assert content["schema"] == {"$ref": "#/components/schemas/Errors"}, (name, status)


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_schemas_hold_their_examples(name: str) -> None:
    """Every example of a schema conforms to it, and no schema takes just anything."""
    schema = {"$ref": f"#/components/schemas/{name}"}
    for example in SCHEMAS[name].get("examples", []):
        assert conforms(example, schema)
    assert not conforms(object_of_no_kind(), schema)


def object_of_no_kind() -> list[Any]:
    """Nothing in the API is like this."""
    return [[{"of": "no kind"}]]


def test_bodies_hold_their_examples() -> None:
    """Every example of a body conforms to the body's schema."""
    contents = [each for each in within(DOCUMENT["paths"]) if "schema" in each]
    assert any("example" in each for each in contents)
    for content in contents:
        examples = [each["value"] for each in content.get("examples", {}).values()]
        for example in [*examples, *([content["example"]] if "example" in content else [])]:
            assert conforms(example, content["schema"]), example


def test_answers_have_a_fixed_set_of_keys() -> None:
    """An answer with a key too many or too few is outside its schema."""
    for name in ("Job", "Drive", "Server", "Tag", "LogEntry", "DriveFrame"):
        (example, *_) = SCHEMAS[name].get("examples") or [
            {"resource_type": "drives", "resource_uri": "/api/2.0/drives/x/"}
        ]
        schema = {"$ref": f"#/components/schemas/{name}"}
        assert conforms(example, schema)
        assert not conforms({**example, "another": None}, schema)
        for key in SCHEMAS[name]["required"]:
            assert not conforms({k: v for k, v in example.items() if k != key}, schema)


def test_each_resource_that_is_followed_has_a_frame() -> None:
    """A websocket sends what the feed knows, and beats."""
    frames = [each["$ref"].rpartition("/")[2] for each in SCHEMAS["Frame"]["oneOf"]]
    described = {SCHEMAS[frame]["properties"]["resource_type"]["const"] for frame in frames}
    assert described == {kind.resource_type for kind in KINDS.values()} | {"beat"}


# As it is served


async def test_it_needs_no_login(api: Api) -> None:
    """The document is answered as JSON to whoever asks, without what only the file needs."""
    answer = await api.get("/openapi.json", by=None)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert answer.json == DOCUMENT
    assert "x-shared" not in answer.json
    assert answer.json["paths"][f"{ROOT}/jobs/"]["get"]["responses"]["401"]
