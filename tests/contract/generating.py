"""Sending requests that are generated from the descriptions of both bases, judging the answers."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import jsonschema_rs
import orjson
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import SearchStrategy, one_of
from schemathesis import Case, GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.core.transport import Response
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.openapi.document import document_json
from api.openapi.v1 import v1_document_json
from tests.contract.findings import Findings

DOCUMENTS = [orjson.loads(each()) for each in (document_json, v1_document_json)]
CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
UNREAD = b"the URL or a header is too long"
"""What is answered to a request that was not read so far that it could be told which it is."""
CONFIG = schemathesis.Config.from_dict(
    {"generation": {"with-security-parameters": False, "database": "none"}}
)
GENERATED = settings(
    database=None,
    deadline=None,
    phases=[Phase.generate],  # nothing fails in it that could be made smaller
    suppress_health_check=list(HealthCheck),
)


def judge(findings: Findings, case: Case, response: Response) -> None:
    """Add what this answer shows."""
    label = case.operation.label
    findings.sent[label] += 1
    findings.statuses[response.status_code] += 1
    findings.good[label] += response.status_code < 300
    findings.contended += response.status_code == 503 and b"concurrency" in response.content
    faults = [
        *_unexpected(response),
        *_nonconformities(case, response),
        *_partial(case, response),
        *_without_outcome(case, response),
    ]
    for fault in faults:
        told = f"{case.as_curl_command()}\n  {response.status_code} {response.content[:500]!r}"
        findings.wrong.setdefault(f"{label}: {fault}", []).append(told)


def _unexpected(response: Response) -> list[str]:
    return ["a status of 500"] if response.status_code == 500 else []


def _nonconformities(case: Case, response: Response) -> list[str]:
    if UNREAD in response.content:
        return []
    try:
        case.validate_response(response, checks=CHECKS)
    except FailureGroup as failures:
        return [
            f"{failure.title}: {failure.message.splitlines()[0]}" for failure in failures.exceptions
        ]
    return []


def _without_outcome(case: Case, response: Response) -> Iterator[str]:
    """A failed change must say whether it was recorded."""
    failed = response.status_code >= 400 and case.method not in ("GET", "HEAD", "OPTIONS")
    if failed and "x-ledger-outcome" not in response.headers:
        yield "a failed change without its outcome"


def _partial(case: Case, response: Response) -> list[str]:
    """Only `fields` may leave keys out: then a list's schema cannot tell, so it is done here."""
    if "fields" in (case.query or {}) or response.status_code != 200:
        return []
    items = _items(case)
    if items is None or "anyOf" not in items:
        return []
    whole = jsonschema_rs.Draft202012Validator(
        {**items["anyOf"][0], "components": case.operation.schema.raw_schema["components"]}
    )
    return ["objects lack keys"] * (not all(map(whole.is_valid, response.json()["objects"])))


def _items(case: Case) -> Any:
    """The schema of a list's objects; None, if the answer is no list."""
    answer = case.operation.definition.raw["responses"]["200"]
    reference = answer["content"].get("application/json", {}).get("schema", {}).get("$ref")
    schemas = case.operation.schema.raw_schema["components"]["schemas"]
    schema = schemas.get((reference or "").rpartition("/")[2], {})
    return schema.get("properties", {}).get("objects", {}).get("items")


def operations() -> Sequence[schemathesis.APIOperation]:
    """Those of `/api/2.0`, and of `/api/v1`."""
    return [
        result.ok()
        for document in DOCUMENTS
        for result in schemathesis.openapi.from_dict(document, config=CONFIG).get_all_operations()
    ]


def generated(operation: schemathesis.APIOperation, drawn: int, count: int) -> Iterator[Case]:
    """Up to `count` requests of each kind: well-formed, ill-formed, and after the examples."""
    examples = operation.get_strategies_from_examples()
    yield from _generated(operation.as_strategy(GenerationMode.POSITIVE), drawn, count)
    yield from _generated(operation.as_strategy(GenerationMode.NEGATIVE), drawn, count)
    yield from _generated(one_of(examples), drawn, count)


def _generated(cases: SearchStrategy[Case], drawn: int, count: int) -> Sequence[Case]:
    """There may be fewer than `count` different ones."""
    kept: list[Case] = []

    @seed(drawn)
    @settings(GENERATED, max_examples=count)
    @given(case=cases)
    def keep(case: Case) -> None:
        kept.append(case)

    with suppress(Unsatisfiable):  # nothing about it can be ill-formed, or there are no examples
        keep()
    return kept
