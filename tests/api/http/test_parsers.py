"""Whatever the service reads of a request, it reads in time that grows with its length.

The tables below name every parser, and texts that are as bad for it as we could think of. A test
fails if a regular expression of the API is not reached by them: whoever adds a parser adds a row.
"""

import gc
import re
import sys
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from random import Random
from time import thread_time_ns
from typing import Any, NamedTuple, Self, cast

import pytest
from aiohttp import hdrs, parse_content_disposition, web
from aiohttp._cookie_helpers import parse_cookie_header
from aiohttp.helpers import parse_http_date, parse_mimetype
from multidict import CIMultiDict, MultiDict

from api.accounts.credentials import normal_email, normal_password, parse_basic, parse_bearer
from api.accounts.grants import Restrictors
from api.accounts.job_tokens import claimed
from api.accounts.signing import Signing
from api.http.accept import check_accept
from api.http.digests import WANT_REPR_DIGEST, wants_digest
from api.http.edge.proxies import TrustedProxies
from api.http.edge.same_origin import is_same_origin
from api.http.etags import make_conditional
from api.http.fields import decode_fields
from api.http.idempotency import IDEMPOTENCY_KEY, _key
from api.http.long_poll import known_to, wait_of
from api.http.not_applied import _told
from api.http.preconditions import Version, asked_range, is_current
from api.http.request_ids import RequestIds
from api.http.requests import (
    CALLER,
    alternatives,
    avoided,
    conditions,
    filter_values,
    number,
    order_by,
    page,
    shown_fields,
)
from api.http.wire.bodies import media_type
from api.resources.collections import FILTERS, ORDERS
from api.resources.drives.bodies import DriveEdit
from api.resources.jobs.lists import wanted_jobs
from api.resources.jobs.time_travel import _position_or_time
from api.resources.keypairs.keys import read_public_key
from api.resources.servers.addresses import read_ip
from api.resources.servers.bodies import NewServer, new_server
from api.resources.staff import _keep
from api.resources.tag_bodies import NewTag
from api.resources.walks import walk_asked
from api.text.iso8601 import duration, moment
from api.text.printable import escaped, escaped_json
from api.v1.lists import asked_page
from api.v1.selectors import read_selector
from ledger.domain.decisions.naming import clone_name
from ledger.domain.errors import Expected
from ledger.domain.labels import is_key, is_value
from ledger.domain.producers.texts import storable
from ledger.store.writer import Caller
from tests.api.calling import ALICE, SERVER, UNKNOWN

pytestmark = [
    pytest.mark.filterwarnings("ignore::aiohttp.BadContentDispositionHeader"),
    pytest.mark.filterwarnings("ignore::aiohttp.BadContentDispositionParam"),
]

Parse = Callable[[str], object]


class Asked(dict[Any, object]):
    """What parsers read of a request; a real one would take longer to make than to read."""

    method = "GET"
    remote = "127.0.0.1"

    def __init__(self, query: Mapping[str, str], headers: Mapping[str, str]) -> None:
        self.query = MultiDict(query)
        self.query_string = "&".join(query)
        self.headers = CIMultiDict(headers)
        self.path = "/"
        self.if_modified_since = self.if_unmodified_since = None
        self[CALLER] = Caller(ALICE.uuid, "")

    def clone(self, **_seen: str) -> Self:
        return self


def asking(parameter: str, read: Callable[[web.Request], object]) -> Parse:
    """Read this parameter of the query."""
    return lambda text: read(cast(web.Request, Asked({parameter: text}, {})))


def heading(name: str, read: Callable[[web.Request], object]) -> Parse:
    """Read this header."""
    return lambda text: read(cast(web.Request, Asked({}, {name: text})))


def filling(kind: type[Any], **field: Callable[[str], object]) -> Parse:
    """Read this field of a body, made of the text."""
    ((name, value),) = field.items()
    return lambda text: decode_fields({name: value(text)}, kind)


def mount(channel: str) -> object:
    """Make a server with a drive on this channel."""
    said = {**SERVER, "drives": [{"dev_channel": channel, "device": "virtio", "drive": UNKNOWN}]}
    return new_server(decode_fields(said, NewServer), server=UNKNOWN, new_mac=str)


def same(text: str) -> str:
    return text


VERSION = Version('"x"', 0)
NOW = datetime(2026, 4, 17, tzinfo=UTC)
proxies = TrustedProxies(["127.0.0.1"])
signing = Signing(lambda: NOW, lambda _hour: b"key", separator=".", valid_s=60)

PARSERS: dict[str, Parse] = {
    "alternatives of a filter": alternatives,
    "filters": asking("name__contains", lambda r: conditions(r, FILTERS)),
    "filters of jobs": asking("resource", wanted_jobs),
    "times of jobs": asking("last_modified__gte", wanted_jobs),
    "states": asking("state", lambda r: filter_values(r, "state")),
    "limit": asking("limit", page),
    "a number": asking("leaf", lambda r: number(r, "leaf")),
    "fields": asking("fields", shown_fields),
    "order_by": asking("order_by", lambda r: order_by(r, ORDERS)),
    "avoid": asking("avoid", avoided),
    "after": asking("after", lambda r: walk_asked(r, "jobs", ())),
    "wait": asking("wait", wait_of),
    "as_of": _position_or_time,
    "a time": moment,
    "a duration": duration,
    "keep": asking("keep", _keep),
    "Accept": heading(hdrs.ACCEPT, check_accept),
    "If-None-Match": heading(
        hdrs.IF_NONE_MATCH, lambda r: make_conditional(r, web.Response(body=b"x"))
    ),
    "If-None-Match of a long poll": heading(hdrs.IF_NONE_MATCH, known_to),
    "Idempotency-Key": heading(IDEMPOTENCY_KEY, _key),
    "X-Request-ID": heading("X-Request-ID", RequestIds("test").of),
    "Range": heading(hdrs.RANGE, lambda r: asked_range(r, VERSION, 100)),
    "If-Match": heading(hdrs.IF_MATCH, lambda r: is_current(r, VERSION)),
    "If-None-Match of an image": heading(hdrs.IF_NONE_MATCH, lambda r: is_current(r, VERSION)),
    "If-Modified-Since": parse_http_date,
    "Want-Repr-Digest": heading(WANT_REPR_DIGEST, wants_digest),
    "Cookie": parse_cookie_header,
    "Content-Type": heading(hdrs.CONTENT_TYPE, media_type),
    "the Content-Type of a form": parse_mimetype,
    "the name of a part": lambda text: parse_content_disposition(f"form-data; name={text}"),
    "Origin": lambda text: is_same_origin(f"http://{text}", text),
    "Basic": lambda text: parse_basic(f"Basic {text}"),
    "Bearer": lambda text: parse_bearer(f"Bearer {text}"),
    "a job's token": claimed,
    "free words": lambda text: storable(text, 1_024),
    "a restrictor": lambda text: Restrictors.parse([text]),
    "an email": normal_email,
    "a password": normal_password,
    "a signed text": signing.read,
    "forwarded addresses": heading("X-Forwarded-For", proxies.seen_by_client),
    "a forwarded scheme": heading("X-Forwarded-Proto", proxies.seen_by_client),
    "a forwarded host": heading("X-Forwarded-Host", proxies.seen_by_client),
    "the name of a field": lambda text: _told([text]),
    "a name": filling(DriveEdit, name=same),
    "a choice": filling(DriveEdit, media=same),
    "a size": filling(DriveEdit, size=same),
    "meta": filling(DriveEdit, meta=lambda text: {text: text}),
    "references": filling(NewTag, resources=lambda text: [text, {"uuid": text}]),
    "a mount": filling(
        NewServer, drives=lambda text: [{"dev_channel": text, "device": text, "drive": text}]
    ),
    "the channel of a mount": mount,
    "a public key": read_public_key,
    "an address": read_ip,
    "the name of a clone": lambda text: clone_name(text, "COUNTER", NOW),
    "the dated name of a clone": lambda text: clone_name(text, "DATE", NOW),
    "the timed name of a clone": lambda text: clone_name(text, "TIMESTAMP", NOW),
    "the key of a label": is_key,
    "a selector": read_selector,
    "a list of jobs": asking("series", asked_page),
    "the value of a label": is_value,
    "a text that is shown": escaped,
    "JSON that is shown": escaped_json,
}

UNITS = (
    *("\\", ",", "\\,", '"', 'W/"', '"",', ";", "q=0;", "=", "a=b;", "%", "+", "/", ":", "."),
    *("0", "a", "-", "_", " ", "\n", "_1", "-1", "T1H", "1W", "2026-04-17T", "é", "`"),
    *("ssh-rsa ", "AAAA", "1.", "f:"),
    *("\u0300\u0316", "\udc80", "\U0001f600", " - at `$.", "gzip,", "a@b."),
)
AROUND = (
    ("bytes=", "!"),
    ("", ""),
    ("", "!"),
    ("PT", "S"),
    ("a@b", "-2026-04-17"),
    ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5", "=="),
    ("jlj_53f94b39-2bb6-4aca-80e7-c3ffa8d0224f.1.", ""),
    ("2026-04-17T08:15:30.", "Z"),
)
PLACE = f"2 {'0' * 32} {UNKNOWN} {'a' * 16}"
TAKEN = (
    *("bytes=0-1", "bytes=0-1,2-3", "items=1", '"key"', urlsafe_b64encode(PLACE.encode()).decode()),
    *("-2026-04-17_1", "-2026-04-17 08:15:30_1", "2026-04-17T08:15:30 01:00", UNKNOWN, "0:0"),
)
"""Texts that some parsers take, so that every regular expression is reached."""


# Growth

LENGTH = 500
TIMES_LONGER = 16
"""The longer texts are about as long as a URL or a header may be."""
MOST_GROWTH = 32.0
"""Sixteen times the length takes 16 times as long, or 256 times if every pair is looked at.

Others on the machine take room in its caches, which costs long texts half as much again.
"""
NOTHING_NS = 300_000
"""What takes less is not measured further: pairs of so many characters take far longer."""
ATTEMPTS = 20


class Cost(NamedTuple):
    short_ns: float
    long_ns: float

    @property
    def is_linear(self) -> bool:
        return self.long_ns <= max(NOTHING_NS, MOST_GROWTH * self.short_ns)


def measure(parse: Parse, before: str, unit: str, after: str, attempts: int = ATTEMPTS) -> Cost:
    """Take the least of several attempts, in time of the processor: others use it, too."""
    short = before + unit * (LENGTH // len(unit)) + after
    long = before + unit * (TIMES_LONGER * LENGTH // len(unit)) + after
    cost = Cost(float("inf"), float("inf"))
    for _ in range(attempts):
        cost = Cost(min(cost.short_ns, spent(parse, short)), min(cost.long_ns, spent(parse, long)))
        if cost.is_linear:
            break
    return cost


def spent(parse: Parse, text: str) -> int:
    began = thread_time_ns()
    with suppress(Expected):
        parse(text)
    return thread_time_ns() - began


@pytest.fixture
def no_garbage_collection() -> Iterator[None]:
    """Its time grows with the whole process."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_garbage_collection")
@pytest.mark.parametrize("parse", PARSERS.values(), ids=PARSERS)
@pytest.mark.thorough
def test_parsers_are_linear(parse: Parse) -> None:
    """A text that is 16 times as long takes at most 32 times as long, whatever it is."""
    for unit in UNITS:
        for before, after in AROUND:
            cost = measure(parse, before, unit, after)
            assert cost.is_linear, f"{before!r} + n * {unit!r} + {after!r}: {cost}"


@pytest.mark.thorough
def test_the_measure_finds_what_is_not_linear() -> None:
    """It would see a parser that looks at every pair."""
    quadratic = re.compile(r"(\\*)(,|$)")
    assert not measure(quadratic.findall, "", "\\", "!", attempts=2).is_linear


# Refusals

CHARACTERS = "0123456789PTWDHMSabz-_+:.,;=*/\\\"'%&@ \n\0é\u0300\udc80\U0001f600"


@pytest.mark.parametrize("parse", PARSERS.values(), ids=PARSERS)
def test_parsers_refuse_in_their_own_words(parse: Parse, seed: int) -> None:
    """Nothing but a refusal is raised: anything else would be a 500."""
    draw = Random(seed)  # noqa: S311
    texts = ["".join(draw.choices(CHARACTERS, k=draw.randrange(1, 30))) for _ in range(500)]
    numbers = [
        before + "1" * digits + after for before, after in AROUND for digits in (20, 4_000, 5_000)
    ]
    for text in (*texts, *numbers, ""):
        with suppress(Expected):
            parse(text)


# Whether it is all of them

PACKAGES = ("api.http", "api.resources", "api.accounts", "api.text", "ledger.domain")


class Watched:
    """A regular expression that notes its use."""

    def __init__(self, pattern: re.Pattern[str], used: set[str], name: str) -> None:
        self._pattern = pattern
        self._used = used
        self._name = name

    def __getattr__(self, name: str) -> Any:
        self._used.add(self._name)
        return getattr(self._pattern, name)


def patterns() -> Iterator[tuple[Any, str, re.Pattern[str]]]:
    """Yield the regular expressions of the packages: module, name and pattern."""
    for module in list(sys.modules.values()):
        if module.__name__.startswith(PACKAGES):
            for name, value in list(vars(module).items()):
                if isinstance(value, re.Pattern):
                    yield module, name, value


def test_every_regular_expression_is_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new one is measured, too."""
    used: set[str] = set()
    names: set[str] = set()
    for module, name, pattern in patterns():
        names.add(pattern.pattern)
        monkeypatch.setattr(module, name, Watched(pattern, used, pattern.pattern))
    for parse in PARSERS.values():
        for text in (*UNITS, *TAKEN):
            with suppress(Expected):
                parse(text)
    assert names - used == set()
