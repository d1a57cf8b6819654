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
    described = validator_of(method, template_of(path), answer.status)
    found = [error.message for error in described.iter_errors(answer.json)]
    assert not found, (path, found)


def template_of(path: str) -> str:
    """The path with the names of its parameters in their places, as the description has it."""
    whole = (ROOT + path).rstrip("/")
    for template, pattern in patterns():
        if pattern.fullmatch(whole):
            return template
    raise AssertionError(f"{path} is not described")


@cache
def patterns() -> list[tuple[str, re.Pattern[str]]]:
    return [
        (template, re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))))
        for template in DOCUMENT["paths"]
    ]


@cache
def validator_of(method: str, template: str, status: int) -> Any:
    """What an answer must be. Making it takes far longer than an answer."""
    operation = DOCUMENT["paths"][template][method.lower()]
    (content,) = operation["responses"][str(status)]["content"].values()
    schema = {**content["schema"], "components": DOCUMENT["components"]}
    return jsonschema_rs.Draft202012Validator(schema)


@cache
def validator(name: str) -> Any:
    schema = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    return jsonschema_rs.Draft202012Validator(schema)
