"""A client of `/api/v1`: each answer that it gets must be as the description says."""

import re
from functools import cache
from typing import Any

import jsonschema_rs
import orjson

from api.openapi.v1 import v1_document_json
from tests.api.calling import Answer, Api

ROOT = "/api/v1"
DOCUMENT = orjson.loads(v1_document_json())
METHODS = ("get", "put", "post", "delete")
DESCRIBED = [method.upper() for method in METHODS]
PROBLEM = "application/problem+json"


class V1(Api):
    """`path` is below `/api/v1`."""

    root = ROOT

    async def call(self, method: str, path: str, **given: Any) -> Answer:
        answer = await super().call(method, path, **given)
        where = path.partition("?")[0]
        if answer.body and method in DESCRIBED and not where.startswith("/api/"):
            check_described(method, where, answer)
        return answer

    async def refused(
        self, method: str, path: str, json: Any = None, **given: Any
    ) -> dict[str, Any]:
        """The problem with which a request is answered: its name as `type`, and its fields."""
        answer = await self.call(method, path, json=json, **given)
        return problem_of(answer)


def problem_of(answer: Answer) -> dict[str, Any]:
    """The problem of an answer, but for its words."""
    assert answer.status >= 400, answer.body
    assert answer.headers["Content-Type"] == PROBLEM
    said = {**answer.json, "type": answer.json["type"].removeprefix(f"{ROOT}/problems/")}
    assert said.pop("title")
    assert said.pop("detail")
    assert said["status"] == answer.status
    return said


def check_described(method: str, path: str, answer: Answer) -> None:
    """Check that the body is one that the description promises."""
    if answer.status >= 400:
        assert validator("Problem").is_valid(answer.json), answer.json
        return
    operation = operation_of(method, path)
    described = operation["responses"][str(answer.status)]
    (content,) = described["content"].values()
    schema = {**content["schema"], "components": DOCUMENT["components"]}
    found = [
        error.message
        for error in jsonschema_rs.Draft202012Validator(schema).iter_errors(answer.json)
    ]
    assert not found, (path, found)


def operation_of(method: str, path: str) -> Any:
    whole = (ROOT + path).rstrip("/")
    for template, item in DOCUMENT["paths"].items():
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))
        if re.fullmatch(pattern, whole):
            return item[method.lower()]
    raise AssertionError(f"{path} is not described")


@cache
def validator(name: str) -> Any:
    schema = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    return jsonschema_rs.Draft202012Validator(schema)
