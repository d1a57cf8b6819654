"""The closed list of problems, by name: clients go by these names, never by titles or details."""

from collections.abc import Mapping
from typing import NamedTuple


class ProblemKind(NamedTuple):
    """A problem: its usual status, what it is called, and what it means in words."""

    status: int
    title: str
    about: str


PROBLEMS: Mapping[str, ProblemKind] = {
    # Jobs
    "already-registered": ProblemKind(
        409,
        "Another process has registered this job",
        "The job exists, and another process makes its attempt `attempt`. Two processes never share"
        " an attempt. If that one is lost, take the job up with POST /api/v1/jobs/{uuid}/attempts;"
        " otherwise register a job of your own.",
    ),
    "uuid-taken": ProblemKind(
        409, "The uuid is taken", "Something else has this uuid. Draw another one."
    ),
    "attempt-taken": ProblemKind(
        409,
        "Another attempt goes on",
        "The job is at attempt `attempt`, which is not the one that you want to follow, or has not"
        ' been lost. Look at the job again; `"take_over": true` replaces an attempt that goes on.',
    ),
    "attempt-replaced": ProblemKind(
        409,
        "Another process has taken the job up",
        "The job is at attempt `attempt`. Whoever made an earlier one must stop: two must not do"
        " the same work.",
    ),
    "attempt-over": ProblemKind(
        409,
        "The attempt has failed",
        "It was ended as failed, and the job waits for the next attempt. To go on, take the job up"
        " with POST /api/v1/jobs/{uuid}/attempts, after `attempt`.",
    ),
    "job-over": ProblemKind(
        409,
        "The job has ended",
        "It has ended as `over` says, and an end is final. If you have reported another end, that"
        " is `reported`. A run again is a new job with `rerun_of`.",
    ),
    "job-forced": ProblemKind(
        409,
        "An operator has ended the job",
        "The record of the job has ended, although its process had not obeyed. The process must"
        " stop.",
    ),
    "job-unknown": ProblemKind(
        404,
        "There is no such job",
        "The account has no job with this uuid. If you have registered it, the ledger was restored"
        " from a backup: register it again with the same body, and go on.",
    ),
    "job-discarded": ProblemKind(
        410,
        "The job was discarded",
        "The job had ended, and was discarded after the time for which jobs are kept. No other job"
        " gets its uuid. Drop whatever you still have to say about it.",
    ),
    "parent-unknown": ProblemKind(
        404,
        "There is no such parent",
        "The account has no job `parent` that can have other programs' jobs below it.",
    ),
    "parent-over": ProblemKind(
        409, "The parent has ended", "A job that has ended takes no more jobs below it."
    ),
    "sealed": ProblemKind(
        409, "The group is sealed", "A group that was sealed takes no more jobs below it."
    ),
    "children-running": ProblemKind(
        409,
        "Jobs below it still run",
        'The end was to be refused while `running` jobs run below the job (`"children":'
        ' "require"`). End it again once they have ended, or without that.',
    ),
    "not-cancellable": ProblemKind(
        409,
        "The job cannot be cancelled",
        "Its producer has said so when it was registered. It runs on `host`, if that is known.",
    ),
    "grace-not-over": ProblemKind(
        409,
        "The job still has time to stop",
        "The record of a job can be ended by force once its time to stop is over, or while its"
        " producer is lost. `asked` says whether it was asked at all; if so, try again after"
        " `retry_after_s` seconds.",
    ),
    "plan-over": ProblemKind(
        410,
        "The plan is over",
        "A plan is kept for 15 minutes. Ask with the filter again, and confirm the new plan.",
    ),
    # The feed
    "ledger-restored": ProblemKind(
        410,
        "The ledger was restored from a backup",
        "What you have read after `cursor` may never have been. Go on from there.",
    ),
    "events-archived": ProblemKind(
        410,
        "Events were moved to an archive",
        "Some events that you have not read are only in archives. Go on from `cursor`.",
    ),
    # Limits and permissions
    "quota": ProblemKind(
        403,
        "The account has all that it may have",
        "The detail says which limit was reached, and what helps. GET /api/v1/account shows all of"
        " them.",
    ),
    "too-fast": ProblemKind(
        429,
        "Too much at once",
        "Try again after `retry_after_s` seconds, as `Retry-After` says.",
    ),
    "scope-missing": ProblemKind(
        403,
        "The token may not do this",
        "The token has not the scope `scope`, or one of its restrictors does not admit this.",
    ),
    # Bodies and parameters
    "unknown-field": ProblemKind(
        400,
        "There are unknown fields or parameters",
        "`unknown` lists them; a dot leads into an object or a list. Send the request without"
        " them, or with the header `Prefer: handling=lenient`, which ignores those of a body and"
        " lists them in `ignored`.",
    ),
    "bad-value": ProblemKind(
        400,
        "A value cannot be",
        "`field` names the field or parameter. If a limit was passed, `limit` is the limit.",
    ),
    # HTTP itself
    "bad-request": ProblemKind(
        400, "The request is malformed", "The detail says what is wrong with it."
    ),
    "unauthorized": ProblemKind(
        401,
        "Credentials are missing or wrong",
        "Send a token as `Authorization: Bearer TOKEN`. `why` says what became of one that was"
        " valid.",
    ),
    "forbidden": ProblemKind(
        403, "The account may not do this", "The detail says who may, or what was missing."
    ),
    "not-found": ProblemKind(
        404, "There is nothing like this", "The URL, or what it names, does not exist for you."
    ),
    "method-not-allowed": ProblemKind(
        405, "The URL has no such method", "The header `Allow` lists those that it has."
    ),
    "not-acceptable": ProblemKind(
        406, "There is no such form of it", "Answers are JSON. Send `Accept: application/json`."
    ),
    "timeout": ProblemKind(408, "The body came too slowly", "Nothing was changed. Send it again."),
    "conflict": ProblemKind(
        409, "Its state does not allow this", "The detail says what stands in the way."
    ),
    "length-required": ProblemKind(411, "The body has no length", "Send `Content-Length`."),
    "precondition-failed": ProblemKind(
        412, "It is another version", "A header asked for a version that it has not."
    ),
    "too-large": ProblemKind(
        413, "The body is too long", "`limit` is how many bytes a body of this request may have."
    ),
    "unsupported-media-type": ProblemKind(
        415,
        "The body is of another type",
        "Bodies are `application/json`, and may be compressed with gzip, deflate or zstd.",
    ),
    "range-not-satisfiable": ProblemKind(
        416, "There is nothing in the range", "The detail says what there is."
    ),
    "expectation-failed": ProblemKind(
        417, "The expectation is unknown", "Only `Expect: 100-continue` is known."
    ),
    "unprocessable": ProblemKind(
        422, "This can never be done", "The detail says why; the same request never succeeds."
    ),
    "upgrade-required": ProblemKind(426, "An upgrade is needed", "The detail says to what."),
    "internal": ProblemKind(
        500,
        "Something went wrong here",
        "The service's log has the details, under the id in `X-Request-ID`. `X-Ledger-Outcome` says"
        " whether a change may have been recorded.",
    ),
    "unavailable": ProblemKind(
        503,
        "The ledger cannot be reached",
        "Try again later. `X-Ledger-Outcome` says whether a change may have been recorded; the same"
        " request may be sent again in any case.",
    ),
    "no-room": ProblemKind(
        507,
        "There is no room to record this",
        "The disk of the ledger is full, or the account has recorded as much in a day as it may.",
    ),
}

OF_HTTP: Mapping[int, str] = {
    400: "bad-request",
    401: "unauthorized",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    406: "not-acceptable",
    408: "timeout",
    409: "conflict",
    411: "length-required",
    412: "precondition-failed",
    413: "too-large",
    415: "unsupported-media-type",
    416: "range-not-satisfiable",
    417: "expectation-failed",
    422: "unprocessable",
    426: "upgrade-required",
    429: "too-fast",
    503: "unavailable",
    507: "no-room",
}
"""The problem that a status is if nothing more is known; any other is `internal`."""
