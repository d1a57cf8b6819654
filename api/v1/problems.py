"""Errors below `/api/v1`: problem documents (RFC 9457), of a closed list of types.

A document has the fields that a client needs to go on. Everything that can go wrong has its place
in one table here; what has none is answered by its HTTP status.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import orjson
from aiohttp import hdrs, web

from api.accounts.account import TokenOver
from api.accounts.grants import ScopeMissing
from api.accounts.service import TooManyAttempts
from api.http.errors import RequestRefused, TooLong, answer_any
from api.http.fields import Representation
from api.http.responses import json_answer
from api.service.admission import TooMuch
from api.text.urls import V1_ROOT
from api.v1.problem_kinds import OF_HTTP, PROBLEMS
from ledger.domain.errors import (
    AlreadyExists,
    Expected,
    Invalid,
    NotFound,
    WrongState,
    jobs,
    producers,
)
from ledger.domain.errors.quotas import LedgerBytesSpent, QuotaExceeded

PROBLEM_TYPE = "application/problem+json"

Fields = Mapping[str, object]
NO_FIELDS: Fields = MappingProxyType({})


class Problem(Expected):
    """What a handler itself finds wrong, by its name in the closed list."""

    def __init__(
        self, kind: str, detail: str, fields: Fields = NO_FIELDS, *, status: int | None = None
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.fields = fields
        self.status = PROBLEMS[kind].status if status is None else status


def bad_value(field: str, detail: str, *, limit: int | None = None) -> Problem:
    """Return the problem of a value that is well formed, but cannot be; it may pass a limit."""
    fields = {"field": field} if limit is None else {"field": field, "limit": limit}
    return Problem("bad-value", detail, fields, status=422)


class ProblemMeaning(Representation, frozen=True):
    """What a problem means; `about` is in words."""

    type: str
    title: str
    status: int
    about: str


class _As(NamedTuple):
    """The problem that an error is: `fields` are the members that its attributes become."""

    kind: str
    fields: Mapping[str, str] = MappingProxyType({})
    said: Fields = NO_FIELDS
    status: int | None = None


_MUST_STOP: Fields = {"must_stop": True}

_ERRORS: Mapping[type[Exception], _As] = {
    producers.AlreadyRegistered: _As("already-registered", {"job": "uuid", "attempt": "attempt"}),
    producers.UuidTaken: _As("uuid-taken"),
    producers.AttemptTaken: _As("attempt-taken", {"job": "job", "attempt": "attempt"}),
    producers.AttemptReplaced: _As(
        "attempt-replaced", {"job": "job", "attempt": "current"}, _MUST_STOP
    ),
    producers.AttemptOver: _As("attempt-over", {"job": "job", "attempt": "attempt"}),
    producers.JobForced: _As("job-forced", {"job": "job"}, _MUST_STOP),
    producers.EndedOtherwise: _As(
        "job-over", {"job": "job", "over": "ended", "reported": "reported"}
    ),
    jobs.JobOver: _As("job-over", {"job": "uuid", "over": "state"}),
    jobs.JobNotFound: _As("job-unknown", {"job": "uuid"}),
    jobs.JobDiscarded: _As("job-discarded", {"job": "uuid"}),
    producers.ParentUnknown: _As("parent-unknown", {"parent": "parent"}),
    producers.ParentOver: _As("parent-over", {"parent": "parent"}),
    producers.GroupSealed: _As("sealed", {"job": "group"}),
    producers.GraceNotOver: _As(
        "grace-not-over", {"job": "job", "asked": "asked", "retry_after_s": "left_s"}
    ),
    producers.ChildrenRunning: _As("children-running", {"job": "job", "running": "running"}),
    producers.NotCancellable: _As("not-cancellable", {"job": "job", "host": "host"}),
    jobs.LabelsFixed: _As("bad-value", {"limit": "most"}, {"field": "labels"}, 422),
    AlreadyExists: _As("uuid-taken"),
    Invalid: _As("bad-value", {"field": "point", "limit": "limit"}, status=422),
    NotFound: _As("not-found"),
    WrongState: _As("conflict"),
    QuotaExceeded: _As("quota", {"quota": "resource", "limit": "limit"}),
    LedgerBytesSpent: _As("quota", {"quota": "resource", "limit": "limit"}, status=507),
    TooLong: _As("too-large", {"limit": "limit"}),
    ScopeMissing: _As("scope-missing", {"scope": "scope"}),
    TokenOver: _As("unauthorized", {"why": "why"}),
    TooMuch: _As("too-fast", {"limit": "limit"}),
    TooManyAttempts: _As("too-fast"),
}
"""The problem of each kind of error; a kind that is missing is what its base is."""

_OUTCOMES = {"success": "succeeded"}
"""How `over` says what the ledger calls otherwise."""


def problem_answer(error: Exception, advice: str) -> web.Response:
    """Answer an error: the one place where errors become problems.

    Status and headers are those of the other base, unless the table says more.
    """
    if isinstance(error, Problem):
        return _document(error.kind, str(error), error.fields, error.status, {})
    plain = answer_any(error, advice)
    headers = {name: value for name, value in plain.headers.items() if name not in _OF_BODY}
    found = next((_ERRORS[kind] for kind in type(error).__mro__ if kind in _ERRORS), None)
    if found is not None:
        fields = {**_given(error, found.fields), **found.said}
        return _document(found.kind, _words(plain), fields, found.status, headers)
    fields, kind = dict[str, object](), OF_HTTP.get(plain.status, "internal")
    if isinstance(error, RequestRefused) and error.point is not None:
        fields["field"] = error.point
        kind = "bad-value" if kind in ("bad-request", "unprocessable") else kind
    return _document(kind, _words(plain), fields, plain.status, headers)


_OF_BODY = (hdrs.CONTENT_TYPE, hdrs.CONTENT_LENGTH, "X-Ledger-Refusal")


def _given(error: Exception, fields: Mapping[str, str]) -> dict[str, object]:
    """Return the members that the error has."""
    told = {member: getattr(error, attribute, None) for member, attribute in fields.items()}
    return {
        member: _OUTCOMES.get(str(value), value)
        for member, value in told.items()
        if value is not None
    }


def _words(plain: web.Response) -> str:
    body = plain.body
    assert isinstance(body, bytes)
    message: str = orjson.loads(body)[0]["error_message"]
    return message


def _document(
    name: str, detail: str, fields: Fields, status: int | None, headers: Mapping[str, str]
) -> web.Response:
    kind = PROBLEMS[name]
    status = kind.status if status is None else status
    document = {
        "type": f"{V1_ROOT}/problems/{name}",
        "title": kind.title,
        "status": status,
        "detail": detail,
        **fields,
    }
    retry_after = headers.get(hdrs.RETRY_AFTER)
    if retry_after is not None:
        document["retry_after_s"] = int(retry_after)
    return web.Response(
        status=status,
        body=orjson.dumps(document),
        headers={**headers, hdrs.CONTENT_TYPE: PROBLEM_TYPE},
    )


async def explain_problem(request: web.Request) -> web.Response:
    """Say in words what a problem means."""
    name = request.match_info["name"]
    kind = PROBLEMS.get(name)
    if kind is None:
        raise web.HTTPNotFound
    meaning = ProblemMeaning(f"{V1_ROOT}/problems/{name}", kind.title, kind.status, kind.about)
    return json_answer(meaning)
