"""Sending requests that are generated from the API's description, and judging the answers."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
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

DOCUMENT = orjson.loads(document_json())
CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
CONFIG = schemathesis.Config.from_dict(
    {"generation": {"with-security-parameters": False, "database": "none"}}
)
GENERATED = settings(
    database=None,
    deadline=None,
    phases=[Phase.generate],  # nothing fails in it that could be made smaller
    suppress_health_check=list(HealthCheck),
)


@dataclass
class Findings:
    """What was sent, what came of it, and what should not have."""

    sent: Counter[str] = field(default_factory=Counter)
    good: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    contended: int = 0
    wrong: dict[str, list[str]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return self.sent.total()

    def judge(self, case: Case, response: Response) -> None:
        label = case.operation.label
        self.sent[label] += 1
        self.statuses[response.status_code] += 1
        self.good[label] += response.status_code < 300
        self.contended += response.status_code == 503 and b"concurrency" in response.content
        faults = [
            *_unexpected(response),
            *_nonconformities(case, response),
            *_partial(case, response),
            *_without_outcome(case, response),
        ]
        for fault in faults:
            told = f"{case.as_curl_command()}\n  {response.status_code} {response.content[:500]!r}"
            self.wrong.setdefault(f"{label}: {fault}", []).append(told)

    def __str__(self) -> str:
        statuses = ", ".join(
            f"{status}: {self.statuses[status]}" for status in sorted(self.statuses)
        )
        missed = sorted(label for label in self.sent if not self.good[label])
        lines = [
            f"{self.total} requests, {self.good.total() / self.total:.0%} with 2xx ({statuses})",
            *(f"never 2xx: {label}" for label in missed),
            *(f"{len(told)} x {fault}\n  {told[0]}" for fault, told in self.wrong.items()),
        ]
        return "\n".join(lines)


def _unexpected(response: Response) -> list[str]:
    return ["a status of 500"] if response.status_code == 500 else []


def _nonconformities(case: Case, response: Response) -> list[str]:
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
        {**items["anyOf"][0], "components": DOCUMENT["components"]}
    )
    return ["objects lack keys"] * (not all(map(whole.is_valid, response.json()["objects"])))


def _items(case: Case) -> Any:
    """The schema of a list's objects; None, if the answer is no list."""
    answer = case.operation.definition.raw["responses"]["200"]
    reference = answer["content"].get("application/json", {}).get("schema", {}).get("$ref")
    schema = DOCUMENT["components"]["schemas"].get((reference or "").rpartition("/")[2], {})
    return schema.get("properties", {}).get("objects", {}).get("items")


def operations() -> Sequence[schemathesis.APIOperation]:
    loaded = schemathesis.openapi.from_dict(DOCUMENT, config=CONFIG)
    return [result.ok() for result in loaded.get_all_operations()]


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
