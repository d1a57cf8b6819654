"""Fields that several bodies have: their types, and what they may hold."""

import re
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Annotated, Any

from aiohttp import web
from msgspec import Meta

from api.accounts.grants import Grant
from api.http.requests import GRANT
from api.text.urls import API_ROOT
from api.v1.bodies import ONE_LINE, Strict
from api.v1.problems import bad_value
from ledger.domain.events.producers import Exit, Holder, Link, Subject, Topic
from ledger.domain.labels import KEY_PATTERN, LABELS_MOST, VALUE_PATTERN
from ledger.leases.reports import WAITING_MOST

NAME_LENGTH = 200
INSTANCE_LENGTH = 200
SUBJECTS_MOST = 32
LINKS_MOST = 16
URI_LENGTH = 2_000
PID_MOST = 2**53 - 1
LONGEST_AGO = timedelta(days=100 * 365)
"""Nothing happened earlier, whatever a clock says that is wrong."""

BUFFERED = "A spool delivers this. It is recorded all the same; only reports differ by it."

Name = Annotated[str, Meta(title="Name", min_length=1, max_length=NAME_LENGTH, pattern=ONE_LINE)]
"""One line without control or bidirectional characters."""
Words = Annotated[str, Meta(description="Free words. What is too long is cut.")]
GivenUuid = Annotated[
    str, Meta(pattern="^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$", max_length=36)
]
GivenLabels = Annotated[
    dict[str, str],
    Meta(
        description="Values by their keys.",
        extra_json_schema={
            "maxProperties": LABELS_MOST,
            "propertyNames": {"pattern": KEY_PATTERN},
            "additionalProperties": {"type": "string", "pattern": VALUE_PATTERN},
        },
    ),
]
Moment = Annotated[datetime, Meta(tz=True)]
"""Any time of RFC 3339."""
Seconds = Annotated[int | float, Meta(description="Seconds; brought inside the bounds.")]
Instance = Annotated[str, Meta(min_length=1, max_length=INSTANCE_LENGTH)]

_ONE_LINE = re.compile(ONE_LINE)
_LINK = re.compile(r"[Hh][Tt][Tt][Pp][Ss]?://[^\s\\/?#@\x00-\x1f]+([/?#][^\s\\\x00-\x1f]*)?")
_RESOURCE = (
    rf"{API_ROOT}/(?P<kind>drives|servers)/"
    r"(?P<uuid>[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})/"
)
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s\\\x00-\x1f]+")
_TOPIC = re.compile(rf"(?:[Hh][Tt][Tt][Pp][Ss]?://(?P<host>[^/?#]+))?{_RESOURCE}")
_SUBJECT = rf"^({_URI.pattern}|{re.sub('[?]P<[a-z]+>', '', _RESOURCE)})$"
_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*@")


Uri = Annotated[
    str,
    Meta(
        description="It begins with a scheme, as `file:`, or is the `resource_uri` of a drive or"
        " server. `GET /api/2.0/jobs/?resource=UUID` finds the job by those of the account.",
        extra_json_schema={"pattern": _SUBJECT, "maxLength": URI_LENGTH},
    ),
]
Href = Annotated[
    str,
    Meta(
        description="A page on the web.",
        extra_json_schema={"pattern": f"^{_LINK.pattern}$", "maxLength": URI_LENGTH},
    ),
]


class GivenSubject(Strict, frozen=True):
    """What a job is about."""

    uri: Uri
    role: Name = "subject"


class GivenLink(Strict, frozen=True):
    """A page about the job."""

    rel: Name
    href: Href


class Producer(Strict, frozen=True):
    """The process that works on the job. `agent` is its program, with the version."""

    host: Name | None = None
    pid: Annotated[int, Meta(ge=0, le=PID_MOST)] | None = None
    agent: Name | None = None


class GivenExit(Strict, frozen=True):
    """How a process ended: with a code, or by a signal."""

    code: Annotated[int, Meta(ge=-(2**31), le=2**32 - 1)] | None = None
    signal: Name | None = None


class GivenError(Strict, frozen=True):
    """What went wrong: its name, in words, and the end of what the program wrote about it."""

    type: Name | None = None
    message: Words | None = None
    retryable: bool | None = None
    tail: Words | None = None


Json = Annotated[Any, Meta(description="Any JSON.")]


def subjects_of(given: tuple[GivenSubject, ...]) -> tuple[Subject, ...]:
    """Return the subjects. Raise the problem `bad-value` for what must not be recorded."""
    if len(given) > SUBJECTS_MOST:
        told = f"a job may have {SUBJECTS_MOST} subjects"
        raise bad_value("subjects", told, limit=SUBJECTS_MOST)
    for each in given:
        _check_uri("subjects", each.uri)
        if not (_URI.fullmatch(each.uri) or _TOPIC.fullmatch(each.uri)):
            told = "the uri of a subject begins with a scheme, as file:, or is a resource_uri"
            raise bad_value("subjects", told)
    return tuple(Subject(each.uri, each.role) for each in given)


def topics_of(subjects: tuple[Subject, ...], host: str) -> tuple[Topic, ...]:
    """Return the drives and servers whose URLs, at this host or without one, are subjects."""
    found = (_TOPIC.fullmatch(each.uri) for each in subjects)
    topics = (
        Topic("drives" if each["kind"] == "drives" else "servers", each["uuid"].lower())
        for each in found
        if each is not None and (each["host"] or host).lower() == host.lower()
    )
    return tuple(dict.fromkeys(topics))


def links_of(given: tuple[GivenLink, ...]) -> tuple[Link, ...]:
    """Return the links. Raise the problem `bad-value` for what nobody should click on."""
    if len(given) > LINKS_MOST:
        raise bad_value("links", f"a job may have {LINKS_MOST} links", limit=LINKS_MOST)
    for each in given:
        _check_uri("links", each.href)
        if not _LINK.fullmatch(each.href):
            raise bad_value("links", "the href of a link is http: or https:")
    return tuple(Link(each.rel, each.href) for each in given)


def _check_uri(field: str, uri: str) -> None:
    """Check that a URI is no longer than any should be, shows as it is, and holds no password."""
    if len(uri) > URI_LENGTH:
        told = f"what {field} name has at most {URI_LENGTH:,} characters"
        raise bad_value(field, told, limit=URI_LENGTH)
    if not _ONE_LINE.match(uri):
        raise bad_value(field, "a URI has no control or bidirectional characters")
    if _AUTHORITY.match(uri):
        told = "a user and a password do not belong into a URI: events are kept for long"
        raise bad_value(field, told)


def exit_of(given: GivenExit | None) -> Exit | None:
    return None if given is None else Exit(given.code, given.signal)


def happened_at(
    observed_at: datetime | None, sent_at: datetime | None, received_at: datetime
) -> datetime:
    """Return by our clock when something happened that the client observed by its own.

    It takes as long until the receipt as it took until it was sent. Without both times it happened
    at the receipt, and never after it.
    """
    if observed_at is None or sent_at is None:
        return received_at
    return received_at - min(max(sent_at - observed_at, timedelta(0)), LONGEST_AGO)


def wanted_at(moment: datetime, sent_at: datetime | None, received_at: datetime) -> datetime:
    """Return by our clock when the client wants to go on by its own, within bounds."""
    pause = moment - (sent_at or received_at)
    return received_at + min(max(pause, timedelta(0)), WAITING_MOST)


def holder_of(request: web.Request, instance: str | None, producer: Producer | None) -> Holder:
    """Return the process that makes an attempt; as far as it says."""
    who = producer or Producer()
    token = request[GRANT].token
    return Holder(_instance(request[GRANT], instance), token, who.host, who.pid, who.agent)


def _instance(grant: Grant, given: str | None) -> str:
    """Return the digest of an instance; without one, the token or the account stands for it."""
    if given is None and grant.job is not None:
        return grant.job.instance
    if given is None:
        given = f"account {grant.account.uuid}" if grant.token is None else f"token {grant.token}"
    return sha256(given.encode()).hexdigest()
