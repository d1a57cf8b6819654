"""Record long-running work in a job ledger: an SDK and a command, in one file without dependencies.

    import job_ledger as jl

    with jl.job("backup.rsync", title="Nightly photos", series="nas/photos") as job:
        for name in job.track(names, unit="item"):
            job.check_cancelled()
            send(name)

    python3 job_ledger.py run --title "Nightly photos" -- rsync -a photos/ nas:photos/

It works for the ledger that JOB_LEDGER_URL names, with the token in JOB_LEDGER_TOKEN. Without a URL
it does nothing. It never raises for trouble with the ledger, and never keeps a program waiting for
more than two seconds in all: what cannot be delivered is spooled, and delivered later.

The sections: settings, texts and figures, HTTP, spool, what is known of a job, the courier that
tells the ledger, what other processes left behind, the SDK, `run`, the other commands.
"""

from __future__ import annotations

import atexit
import contextlib
import contextvars
import errno
import json
import os
import random
import re
import signal
import sys
import threading
import time
from binascii import crc32
from collections.abc import (
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
    Sequence,
    Sized,
)
from datetime import datetime, timezone
from functools import partial
from types import FrameType, TracebackType
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Dict,
    NamedTuple,
    NoReturn,
    Tuple,
    TypeVar,
    cast,
)

if TYPE_CHECKING:
    import argparse
    import http.client
    import queue

    from typing_extensions import Self

try:
    import fcntl
except ImportError:  # no POSIX: there is no spool
    fcntl = None  # type: ignore[assignment]

__version__ = "1.0.0"
__all__ = [
    "AsyncJob",
    "Cancelled",
    "Job",
    "Parent",
    "ajob",
    "configure",
    "current",
    "extract",
    "flush",
    "inject",
    "job",
    "tracked",
]

AGENT = f"job-ledger-sdk/{__version__}"
WAIT_S = 2.0
"""How long a process may be kept waiting in all."""

Body = Dict[str, object]
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


# ---------------------------------------------------------------------------------------- settings


class Settings(NamedTuple):
    """Which ledger is told, on whose behalf, and where what it cannot be told is kept."""

    url: str
    token: str
    spool: str

    @classmethod
    def from_environment(cls) -> Settings:
        return cls(
            url=os.environ.get("JOB_LEDGER_URL", "").strip().rstrip("/"),
            token=os.environ.get("JOB_LEDGER_TOKEN", "").strip(),
            spool=os.environ.get("JOB_LEDGER_SPOOL") or _default_spool(),
        )


def _default_spool() -> str:
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    if not os.path.isabs(state):
        state = f"/var/tmp/job-ledger-{os.getuid()}"  # noqa: S108 - a folder of our own in it
    return os.path.join(state, "job-ledger", "spool")


# ------------------------------------------------------------------------------- texts and figures

MESSAGE_MOST = 500
RESULT_MOST = 48_000
MOST = 2**53 - 1
PARENT_NAMES = ("JOB_LEDGER_PARENT", "TRACEPARENT")


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def _new_id() -> str:
    """Return a random uuid; the module of that name takes longer to import than this takes."""
    drawn = bytearray(os.urandom(16))
    drawn[6] = drawn[6] & 0x0F | 0x40
    drawn[8] = drawn[8] & 0x3F | 0x80
    text = drawn.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _new_traceparent(above: str | None) -> str:
    """Return the trace of a new job: a part of the trace above, if there is one."""
    known = re.fullmatch(r"00-([0-9a-f]{32})-[0-9a-f]{16}-([0-9a-f]{2})", above or "")
    trace, flags = known.groups() if known else (os.urandom(16).hex(), "01")
    return f"00-{trace}-{os.urandom(8).hex()}-{flags}"


def _figure(value: float | None) -> int | None:
    """Return what a count is recorded as; what is no number at all is left out."""
    if value is None or value != value:  # noqa: PLR0124 - not a number
        return None
    return int(min(max(value, 0), MOST))


def _text(value: object, most: int = MESSAGE_MOST) -> str:
    """Return a text that can be sent, whatever it holds."""
    return str(value)[:most].encode("utf-8", "replace").decode()


def _without_empty(body: Mapping[str, object]) -> Body:
    return {name: value for name, value in body.items() if value is not None}


def _dict(value: object) -> Body:
    return cast("Body", value) if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _number(value: object, default: float) -> float:
    return value if isinstance(value, (int, float)) else default


def _duration(text: str) -> float:
    """Return the seconds in `90`, `1.5m`, `6h` or `2d`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no duration: 90, 30m, 6h, 2d")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]]


is_quiet = False
"""Whether nobody wants to read what is wrong with the recording."""


def _say(text: str) -> None:
    """Tell the program that something is not recorded; its own logging decides who reads it."""
    if is_quiet:
        return
    import logging

    logging.getLogger("job_ledger").warning("%s", text)


# -------------------------------------------------------------------------------------------- HTTP

CALL_S = 10.0
POLL_S = 30
ANSWER_MOST = 8 * 2**20
HTTP_OK, HTTP_REDIRECT, HTTP_NOT_MODIFIED = 200, 300, 304
HTTP_UNAUTHORIZED, HTTP_TOO_MANY, HTTP_ERROR = 401, 429, 500


class Answer(NamedTuple):
    """What the ledger has answered; `problem` is its name if it is one."""

    status: int
    body: Body
    tag: str = ""

    @property
    def is_success(self) -> bool:
        return self.status < HTTP_REDIRECT

    @property
    def problem(self) -> str:
        return "" if self.is_success else str(self.body.get("type", "")).rpartition("/")[2]


class Trouble(Exception):
    """The ledger cannot be told now, and may be later."""

    def __init__(self, why: str, retry_after_s: float | None = None) -> None:
        super().__init__(why)
        self.retry_after_s = retry_after_s


class Ledger:
    """The ledger at a URL, over one connection that is kept; for one thread."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._connection: http.client.HTTPConnection | None = None
        self._unknown: dict[str, set[str]] = {}
        """Fields that this service does not know, by the last part of the address."""

    def tell(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        tokens: Sequence[str],
        headers: Mapping[str, str] | None = None,
        within_s: float = CALL_S,
    ) -> Answer:
        """Return what the ledger says, by the first token that it knows; raise `Trouble`."""
        kind = REGISTER if method == "PUT" else path.rpartition("/")[2]
        unknown = self._unknown.setdefault(kind, set())
        answer = Answer(HTTP_UNAUTHORIZED, {})
        for token in dict.fromkeys(tokens):
            authorized = {**(headers or {}), "Authorization": f"Bearer {token}"}
            answer = self._answer(method, path, _without(unknown, body), authorized, within_s)
            said = (str(name) for name in _list(answer.body.get("unknown")))
            fields = {re.sub(r"\.\d+(?=\.|$)", "", name) for name in said} - unknown
            if answer.problem == "unknown-field" and fields:
                unknown |= fields
                answer = self._answer(method, path, _without(unknown, body), authorized, within_s)
            if answer.status != HTTP_UNAUTHORIZED:
                break
        return answer

    def _answer(
        self,
        method: str,
        path: str,
        body: object,
        headers: Mapping[str, str],
        within_s: float,
    ) -> Answer:
        import http.client

        content = None if body is None else json.dumps(body).encode()
        told = {"User-Agent": AGENT, "Accept": "application/json", **headers}
        if content is not None:
            told["Content-Type"] = "application/json"
        for is_kept in (True, False) if self._connection else (False,):
            try:
                return self._exchange(method, path, content, told, within_s)
            except (ConnectionError, http.client.BadStatusLine) as error:
                self.close()
                if not is_kept:  # one that was kept may have been closed meanwhile
                    raise Trouble(f"{self.url}: {error}") from error
            except (OSError, ValueError, http.client.HTTPException) as error:
                self.close()
                raise Trouble(f"{self.url}: {error}") from error
            except BaseException:
                self.close()
                raise
        raise AssertionError

    def _exchange(
        self,
        method: str,
        path: str,
        content: bytes | None,
        headers: Mapping[str, str],
        within_s: float,
    ) -> Answer:
        connection, base = self._connect()
        connection.timeout = within_s
        if connection.sock is not None:
            connection.sock.settimeout(within_s)
        connection.request(method, f"{base}/api/v1{path}", content, dict(headers))
        response = connection.getresponse()
        read = response.read(ANSWER_MOST)
        if response.will_close or response.length:
            self.close()
        status, after = response.status, response.getheader("Retry-After", "")
        if status == HTTP_NOT_MODIFIED:
            return Answer(HTTP_OK, {}, response.getheader("ETag", ""))
        said = _dict(json.loads(read or b"{}")) if _is_json(response) else None
        if status == HTTP_TOO_MANY or status >= HTTP_ERROR:
            raise Trouble(f"{self.url}: {status}", float(after) if after.isdigit() else None)
        if said is None or not (status < HTTP_REDIRECT or "type" in said):
            # A proxy, or a page that asks for a login: what the ledger has not said does not count.
            raise Trouble(f"{self.url}: {status}, not from a job ledger")
        return Answer(status, said, response.getheader("ETag", ""))

    def _connect(self) -> tuple[http.client.HTTPConnection, str]:
        import http.client
        from urllib.parse import urlsplit

        parts = urlsplit(self.url)
        if self._connection is None:
            kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
            if parts.scheme not in kinds or not parts.hostname:
                raise ValueError("JOB_LEDGER_URL is no http(s) address")
            self._connection = kinds[parts.scheme](parts.hostname, parts.port, timeout=CALL_S)
        return self._connection, parts.path

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _without(names: set[str], value: object, below: str = "") -> object:
    """Return it without these fields; a dot in a name leads into an object, or all of a list."""
    if isinstance(value, list):
        return [_without(names, each, below) for each in value]
    if not isinstance(value, Mapping):
        return value
    return {
        name: _without(names, each, f"{below}{name}.")
        for name, each in value.items()
        if below + name not in names
    }


def _is_json(response: http.client.HTTPResponse) -> bool:
    return "json" in response.getheader("Content-Type", "")


# ------------------------------------------------------------------------------------------- spool

SPOOL_MOST = 16 * 2**20
MARK_S = 300
"""For how long a ledger that did not answer is not waited for."""
REPORT = "reports"
REGISTER = "register"
ReportKey = Tuple[str, object]
"""The job and the number of a report; None for what is no report of a process like this one."""


class Line(NamedTuple):
    """What the ledger is to be told of a job, as a spool holds it."""

    kind: str
    """`register`, or the last part of the address that it is sent to."""
    job: str
    body: Body
    url: str
    token: str

    @property
    def key(self) -> ReportKey:
        return self.job, self.body.get("seq")

    def encoded(self) -> bytes:
        return json.dumps(self._asdict(), separators=(",", ":")).encode() + b"\n"

    @classmethod
    def decoded(cls, line: bytes) -> Line | None:
        """Return None for what is no whole line."""
        try:
            read = _dict(json.loads(line))
            told = [str(read[name]) for name in ("kind", "job", "url", "token")]
            return cls(told[0], told[1], _dict(read["body"]), told[2], told[3])
        except (ValueError, KeyError):
            return None


def _lock(number: int) -> bool:
    """Lock a file for this process; return whether nobody else has."""
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _write_all(number: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(number, left) :]


class SpoolFile:
    """A spool that this process has locked: its own, or one that another has left behind."""

    def __init__(self, path: str, number: int) -> None:
        self.path = path
        self._number = number
        self.size = os.fstat(number).st_size

    @classmethod
    def new(cls, path: str) -> SpoolFile:
        return cls(path, cls._written(path, b""))

    @staticmethod
    def _written(path: str, content: bytes) -> int:
        """Put a file there that is whole and locked from its first moment on."""
        beside = f"{path}.{os.getpid()}.new"
        number = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        try:
            _lock(number)
            _write_all(number, content)
            os.rename(beside, path)
        except OSError:
            os.close(number)
            with contextlib.suppress(OSError):
                os.unlink(beside)
            raise
        return number

    @classmethod
    def left_behind(cls, path: str) -> SpoolFile | None:
        """Return None if a process still has it, or has just removed it."""
        try:
            number = os.open(path, os.O_RDWR | os.O_APPEND)
        except OSError:
            return None
        with contextlib.suppress(OSError):
            if _lock(number) and os.path.samestat(os.fstat(number), os.stat(path)):
                return cls(path, number)
        os.close(number)
        return None

    def lines(self) -> list[Line]:
        whole = os.pread(self._number, self.size, 0).split(b"\n")[:-1]
        return [line for line in map(Line.decoded, whole) if line is not None]

    def append(self, content: bytes) -> None:
        try:
            _write_all(self._number, content)
        except OSError:
            os.ftruncate(self._number, self.size)
            raise
        self.size += len(content)

    def replace(self, lines: Sequence[Line]) -> None:
        """Have just these lines instead."""
        content = b"".join(line.encoded() for line in lines)
        number = self._written(self.path, content)
        os.close(self._number)
        self._number, self.size = number, len(content)

    def empty(self) -> None:
        os.ftruncate(self._number, 0)
        self.size = 0

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self.path)
        self.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self._number)


def _without_oldest_reports(lines: Sequence[Line], most: int) -> list[Line]:
    """Return all but the oldest reports, so that the rest has room; nothing else is left out."""
    excess = sum(len(line.encoded()) for line in lines) - most
    kept = []
    for line in lines:
        if line.kind == REPORT and excess > 0:
            excess -= len(line.encoded())
        else:
            kept.append(line)
    return kept


class Spool:
    """What this process has to tell until it is answered. Without a disk there is none."""

    def __init__(self, folder: str, instance: str) -> None:
        self.folder = folder
        self._is_broken = fcntl is None
        self._path = os.path.join(folder, f"{instance}.jsonl")
        self._file: SpoolFile | None = None
        self._jobs: set[str] = set()
        """Those of which something is not answered."""
        self._most = SPOOL_MOST

    def write(self, line: Line) -> None:
        if self._is_broken:
            return
        self._jobs.add(line.job)
        try:
            if self._file is None:
                os.makedirs(self.folder, mode=0o700, exist_ok=True)
                self._file = SpoolFile.new(self._path)
            content = line.encoded()
            if self._file.size + len(content) > self._most:
                self._make_room(self._file)
            self._file.append(content)
        except OSError as error:
            self._is_broken = True
            _say(f"there is no spool, and what the ledger cannot be told now is lost: {error}")

    def _make_room(self, file: SpoolFile) -> None:
        """Drop what is answered, and the oldest reports, but never an end."""
        wanted = [line for line in file.lines() if line.job in self._jobs]
        file.replace(_without_oldest_reports(wanted, SPOOL_MOST // 2))
        self._most = max(SPOOL_MOST, 2 * file.size)

    def reports(self, waiting: set[ReportKey]) -> list[Line]:
        """Return the reports that do not also wait to be told as they are."""
        lines = self._file.lines() if self._file else []
        return [
            line
            for line in lines
            if line.kind == REPORT and line.job in self._jobs and line.key not in waiting
        ]

    def remove_reports(self, told: set[ReportKey]) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                lines = self._file.lines()
                self._file.replace([each for each in lines if each.key not in told])

    def forget(self, job: str) -> None:
        """All that there is about this job is answered."""
        self._jobs.discard(job)
        if not self._jobs and self._file:
            with contextlib.suppress(OSError):
                self._file.empty()

    def leave(self) -> None:
        """Close it in a process that was forked; the parent keeps its lock."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def close(self) -> None:
        """Leave what is not answered to whoever comes next."""
        if self._file is not None:
            (self._file.close if self._jobs else self._file.remove)()
            self._file = None


class Mark:
    """A file that says that a ledger has not answered; it is not waited for."""

    def __init__(self, folder: str, url: str) -> None:
        self._path = os.path.join(folder, f"unreachable-{crc32(url.encode()):08x}")

    def set(self) -> None:
        with contextlib.suppress(OSError):
            os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
            os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600))
            os.utime(self._path)

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self._path)

    @property
    def is_set(self) -> bool:
        try:
            return abs(time.time() - os.stat(self._path).st_mtime) < MARK_S
        except OSError:
            return False


# --------------------------------------------------------------------------- what is known of a job

DAY_S = 86400.0
REPORT_EVERY_S = 1.0
SPOOLED_EVERY_S = 10.0
"""How often a report is spooled for a job while the ledger cannot be told."""
AGAIN_AFTER_S = 0.5
"""After which a job is registered again: its parent may be registered just then."""
END = "end"
ATTEMPTS = "attempts"
SEAL = "seal"
LABELS = "labels"
UNTIMED = (SEAL, LABELS)
"""What is told without an attempt, and without when it was observed."""


def _is_last(kind: str, body: Body) -> bool:
    """Return whether it ends the job; after the end of an attempt there may be another one."""
    return kind in (END, SEAL) and body.get("final") is not False


class Message(NamedTuple):
    """What the ledger has to be told in this order; figures just replace those before."""

    kind: str
    body: Body

    def by(self, attempt: int) -> Message:
        """Return it as it is told by this attempt, or of it."""
        if self.kind in UNTIMED:
            return self
        name = "after" if self.kind == ATTEMPTS else "attempt"
        return Message(self.kind, {name: attempt, **self.body})


class Record:
    """A job as this process knows it, and what is to be told of it, under the courier's lock."""

    def __init__(self, registration: Body) -> None:
        self.uuid = _new_id()
        self.registration = registration
        self.token = ""
        """The job's own, once the ledger has told it."""
        self.attempt = 1
        self.is_registered = False
        self.is_ended = False
        """Nothing will be told of it any more, but what is in the outbox."""
        self.is_over = False
        """The ledger says so; figures are not told any more."""
        self.is_refused = False
        """The ledger does not record it, or not its end."""
        self.is_answered = threading.Event()
        """Its registration is, in whatever way."""
        self.outbox: list[Message] = []
        self.figures: Body = {}
        self.is_urgent = False
        self.cancel: Body | None = None
        self.must_stop = False
        self.on_cancel: list[Callable[[], None]] = []
        self.told_at = 0.0
        self.spooled_at = 0.0
        self.not_before = 0.0
        self.report_every_s = REPORT_EVERY_S
        lease_s = registration.get("lease_s")
        self.beat_every_s = _number(lease_s, DAY_S) / 3 if lease_s else DAY_S
        self._seq = 0

    @property
    def is_asked_to_stop(self) -> bool:
        return self.cancel is not None or self.must_stop

    @property
    def tells_figures(self) -> bool:
        return self.is_registered and not (self.is_over or self.is_ended or self.outbox)

    def due_at(self) -> float:
        """Return when the courier has to do something for it."""
        if not self.is_registered:
            return self.not_before
        if self.outbox:
            return 0.0
        if not self.tells_figures:
            return float("inf")
        if self.is_urgent:
            return 0.0
        pause = self.report_every_s if self.figures else self.beat_every_s
        return self.told_at + pause

    def attempt_to_come(self) -> int:
        """Return the attempt to which the next message belongs."""
        return self.attempt + sum(message.kind == ATTEMPTS for message in self.outbox)

    def take_figures(self) -> Body:
        """Return the next report, which may be a mere beat."""
        self._seq += 1
        report = {"seq": self._seq, "observed_at": _now(), **self.figures}
        self.figures, self.is_urgent = {}, False
        return report

    def learn(self, answer: Body) -> None:
        """Take over what an answer says about the attempt, its lease and its token."""
        attempt = answer.get("attempt")
        if isinstance(attempt, int):
            self.attempt = attempt
        self.token = str(answer.get("token") or self.token)
        self.report_every_s = _number(answer.get("report_every_s"), self.report_every_s)
        lease = _dict(answer.get("lease"))
        expires_in_s = _number(lease.get("expires_in_s"), 3 * self.beat_every_s)
        self.beat_every_s = _number(lease.get("beat_every_s"), expires_in_s / 3)


# ----------------------------------------------------------------------------------------- courier

PAUSES_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
BATCH_MOST = 200
ABSENCE_S = 30.0
REFUSED_EVERY_S = 60.0
LISTEN_AFTER_S, LISTEN_EVERY_S = 0.3, 0.25
MUST_STOP = ("attempt-replaced", "job-forced")


def _is_own(token: str) -> bool:
    """Return whether this is the token of a single job."""
    return token.startswith("jlj_")


def _told(body: Body, **more: object) -> Body:
    return {**body, **more, "sent_at": _now()}


def register(
    ledger: Ledger, uuid: str, body: Body, *, token: str, follows: bool = True
) -> tuple[str, Answer]:
    """Register a job; return its id, and the last answer.

    If it is registered already, and nobody works on it, it is taken up; otherwise it becomes a job
    of its own, as a run again of the other. If its parent is over it stands on its own; so it may
    have been registered before, and then its uuid is taken by what looks like another job.
    """

    def ask(body: Body) -> Answer:
        return ledger.tell("PUT", f"/jobs/{uuid}", _told(body), tokens=[token])

    answer = ask(body)
    if answer.problem == "already-registered":
        there, after = answer.body.get("job"), answer.body.get("attempt")
        if follows:  # refused if somebody still works on it, or nobody can any more
            taken = _told({"after": after, "instance": body.get("instance")})
            followed = ledger.tell("POST", f"/jobs/{there}/attempts", taken, tokens=[token])
            if followed.is_success:
                return str(there), followed
        body = {name: value for name, value in body.items() if name != "external_id"}
        body["rerun_of"] = there
        answer = ask(body)
    if answer.problem == "parent-over" or (answer.problem == "uuid-taken" and "parent" in body):
        answer = ask({name: value for name, value in body.items() if name != "parent"})
    return str(_dict(answer.body.get("job")).get("uuid") or uuid), answer


def tell(ledger: Ledger, line: Line, *, is_buffered: bool) -> tuple[str, Answer]:
    """Tell what a line says; return the id of its job, and the answer."""
    is_marked = is_buffered and line.kind in (REGISTER, REPORT, END)
    body = {**line.body, "buffered": True} if is_marked else line.body
    if line.kind == REGISTER:
        return register(ledger, line.job, body, token=line.token, follows=not is_buffered)
    return line.job, tell_of(ledger, line.job, Message(line.kind, body), tokens=[line.token])


def tell_of(ledger: Ledger, job: str, message: Message, *, tokens: Sequence[str]) -> Answer:
    """Tell of a job what is no report of how far it is."""
    body = message.body if message.kind in UNTIMED else _told(message.body)
    return ledger.tell("POST", f"/jobs/{job}/{message.kind}", body, tokens=tokens)


def report(ledger: Ledger, reports: Sequence[tuple[str, str, Body]], token: str) -> list[Answer]:
    """Deliver reports, each of a job with its own token; return what became of each.

    A token of a single job does not speak for others, and one that has expired for none: then each
    job's own does.
    """
    if len(reports) > 1 and not _is_own(token):
        items = [{"job": job, **body} for job, _, body in reports]
        answer = ledger.tell("POST", "/reports", {"reports": items}, tokens=[token])
        if answer.is_success:
            results = [_dict(each) for each in _list(answer.body.get("results"))]
            return [Answer(int(_number(each.get("status"), HTTP_OK)), each) for each in results]
    return [
        ledger.tell("POST", f"/jobs/{job}/reports", body, tokens=[own or token, token])
        for job, own, body in reports
    ]


class Courier:
    """Tells the ledger about all jobs of this process, in a thread of its own.

    Another one listens for requests to cancel. Whoever uses a job only leaves word here.
    """

    wait_left_s = WAIT_S
    """For how much longer this process may be kept waiting."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.instance = os.urandom(16).hex()
        self.spool = Spool(settings.spool, self.instance)
        self.mark = Mark(settings.spool, settings.url)
        self.is_known_away = self.mark.is_set
        self._pid = os.getpid()
        # Reentrant, because the handler of a signal may come between.
        self._changed = threading.Condition(threading.RLock())
        self._records: list[Record] = []
        self._ledger = Ledger(settings.url)
        self._is_running = False
        self._is_closed = False
        self._troubles = 0
        self._paused_until = 0.0
        self._last_trouble = ""
        self._wants_flush = True
        self._has_spooled_reports = False
        self._left_behind: Flush | None = None
        self._flushes_at = float("inf")

    # For whoever uses a job. None of it waits.

    @property
    def is_ours(self) -> bool:
        """A process that was forked has none of its parent's jobs."""
        return self._pid == os.getpid()

    def begin(self, record: Record) -> None:
        with self._changed:
            if self._is_closed:
                return
            self._write(record, REGISTER, record.registration)
            self._records.append(record)
            self._start()
            self._changed.notify_all()

    def change(self, record: Record, figures: Body) -> None:
        """Have figures told with the next report."""
        with self._changed:
            was_waiting = bool(record.figures)
            record.figures.update(figures)
            if not was_waiting:
                self._changed.notify_all()

    def say(self, record: Record, kind: str, body: Body) -> None:
        """Have something told for certain: now, or later from the spool."""
        with self._changed:
            if record.is_ended or self._is_closed:
                return
            record.is_ended = _is_last(kind, body)
            if record.figures and kind in (END, SEAL):
                self._say(record, REPORT, record.take_figures())
            self._say(record, kind, body if kind in UNTIMED else {**body, "observed_at": _now()})
            self._changed.notify_all()

    def end(self, record: Record, body: Body) -> None:
        """Have its end told. A group ends by its children, once it gets no more of them."""
        is_group = record.registration.get("ends") == "children"
        self.say(record, SEAL if is_group else END, {} if is_group else body)

    def _say(self, record: Record, kind: str, body: Body) -> None:
        message = Message(kind, body).by(record.attempt_to_come())
        self._write(record, kind, message.body)
        record.outbox.append(Message(kind, body))

    def _write(self, record: Record, kind: str, body: Body) -> None:
        at = self.settings
        self.spool.write(Line(kind, record.uuid, body, at.url, at.token))

    def running(self) -> list[Record]:
        with self._changed:
            return [record for record in self._records if not record.is_ended]

    def wait(self, is_done: Callable[[], bool]) -> bool:
        """Wait until it is so, for what is left of the time that a process may be kept waiting.

        A ledger that cannot be told now, or could not be told a while ago, is not waited for.
        """
        if self.mark.is_set:
            return is_done()
        before = time.monotonic()
        with self._changed:
            within_s = max(self.wait_left_s, 0)
            self._changed.wait_for(lambda: is_done() or self._troubles > 0, within_s)
            Courier.wait_left_s -= time.monotonic() - before
            if self.wait_left_s <= 0 and not is_done():
                self.mark.set()
            return is_done()

    def is_told(self, within_s: float) -> bool:
        """Wait until all that there is so far is told; return whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._untold(), within_s)

    def close(self) -> bool:
        """Wait until all is told, as long as that may take; return whether it is."""
        is_told = self.wait(lambda: not self._untold())
        if is_told:
            Courier.wait_left_s = min(self.wait_left_s, WAIT_S / 2)
            self.wait(lambda: self._flushes_at > time.monotonic())
        with self._changed:
            self._is_closed = True
            self.spool.close()
            self._changed.notify_all()
        return is_told

    def _untold(self) -> list[Record]:
        return [each for each in self._records if not each.is_registered or each.outbox]

    @property
    def trouble(self) -> str:
        return self._last_trouble

    # The thread that tells.

    def _start(self) -> None:
        if not self._is_running:
            self._is_running = True
            with contextlib.suppress(RuntimeError):  # too late: the interpreter ends
                for work in (self._tell, self._listen):
                    threading.Thread(target=work, name="job-ledger", daemon=True).start()

    def _tell(self) -> None:
        while not self._is_closed:
            with self._changed:
                delay = self._due_at() - time.monotonic()
                if delay > 0 and not self._is_closed:
                    self._changed.wait(min(delay, DAY_S))
                    continue
            try:
                self._turn()
            except Trouble as trouble:
                self._pause(trouble)
            except Exception as error:
                self._pause(Trouble(f"{type(error).__name__}: {error}"))
        self._ledger.close()

    def _due_at(self) -> float:
        dues = [self._flushes_at, *map(self._due_at_of, self._records)]
        return max(min(dues), self._paused_until)

    def _due_at_of(self, record: Record) -> float:
        if record.outbox and (below := self._unregistered_below(record)):
            return min(each.not_before for each in below)
        return record.due_at()

    def _turn(self) -> None:
        """Tell what is due: jobs, then figures, then what ends them."""
        self._tell_registrations()
        self._tell_spooled_reports()
        self._tell_figures()
        self._tell_outboxes()
        self._flush()

    def _pause(self, trouble: Trouble) -> None:
        """Tell nothing for a while; spool what would have been told."""
        with self._changed:
            pause_s = PAUSES_S[min(self._troubles, len(PAUSES_S) - 1)] * random.uniform(0.7, 1.0)  # noqa: S311
            self._paused_until = time.monotonic() + (trouble.retry_after_s or pause_s)
            self._troubles += 1
            self._last_trouble = str(trouble)
            self.is_known_away = self._wants_flush = True
            if trouble.retry_after_s is None:
                self.mark.set()
            self._spool_figures()
            self._changed.notify_all()

    def _spool_figures(self) -> None:
        now = time.monotonic()
        for record in self._records:
            if record.figures and not record.is_ended and now > record.spooled_at + SPOOLED_EVERY_S:
                figures = record.figures
                body = {"attempt": record.attempt_to_come(), **record.take_figures()}
                self._write(record, REPORT, body)
                record.figures, record.spooled_at = figures, now
                self._has_spooled_reports = True

    def _answered(self) -> None:
        """The ledger has said something, so it is there."""
        with self._changed:
            if self._wants_flush:
                # Not all clients at once, if the ledger has been away for them.
                pause_s = random.uniform(0, ABSENCE_S) if self.is_known_away else 0.0  # noqa: S311
                self._flushes_at = time.monotonic() + pause_s
                self._left_behind = Flush(self.settings.spool, self._ledger_at)
            if self.is_known_away:
                self.mark.remove()
            self._troubles, self._last_trouble = 0, ""
            self.is_known_away = self._wants_flush = False
            self._changed.notify_all()

    def _ledger_at(self, url: str) -> Ledger | None:
        """Return the ledger if it is ours: another one may be away."""
        return self._ledger if url == self.settings.url else None

    def _tell_registrations(self) -> None:
        now = time.monotonic()
        with self._changed:
            new = [each for each in self._records if not each.is_registered]
        for record in new:
            if record.not_before <= now:
                self._tell_registration(record)

    def _tell_registration(self, record: Record) -> None:
        token = self.settings.token
        uuid, answer = register(self._ledger, record.uuid, record.registration, token=token)
        self._answered()
        with self._changed:
            if answer.problem == "parent-unknown":
                self._last_trouble = "the parent is unknown"
                record.not_before = time.monotonic() + AGAIN_AFTER_S
                for each in self._records:
                    if each.uuid == record.registration.get("parent"):
                        each.is_registered = False  # the ledger was restored
                return
            record.is_answered.set()
            if not answer.is_success:
                self._give_up(record, Message(REGISTER, record.registration), answer)
                return
            record.is_registered = True
            record.told_at = time.monotonic()
            record.learn(answer.body)
            if uuid != record.uuid:
                self._rename(record, uuid)
            self._notice(record, answer)
            self._changed.notify_all()

    def _rename(self, record: Record, uuid: str) -> None:
        """Let it be the job that was there already; the spool has to say so."""
        self.spool.forget(record.uuid)
        record.uuid = uuid
        self._write(record, REGISTER, record.registration)
        for message in record.outbox:
            self._write(record, message.kind, message.by(record.attempt).body)

    def _tell_spooled_reports(self) -> None:
        """Tell what happened while the ledger was away."""
        with self._changed:
            if not self._has_spooled_reports or not all(r.is_registered for r in self._records):
                return
            tokens = {record.uuid: record.token for record in self._records}
            waiting = {
                (record.uuid, message.body.get("seq"))
                for record in self._records
                for message in record.outbox
            }
            lines = self.spool.reports(waiting)
        for at in range(0, len(lines), BATCH_MOST):
            batch = [
                (line.job, tokens.get(line.job, ""), _told(line.body, buffered=True))
                for line in lines[at : at + BATCH_MOST]
            ]
            report(self._ledger, batch, self.settings.token)
        with self._changed:
            self._has_spooled_reports = False
            self.spool.remove_reports({line.key for line in lines})

    def _tell_figures(self) -> None:
        now = time.monotonic()
        with self._changed:
            due = [each for each in self._records if each.tells_figures and each.due_at() <= now]
            taken = [(record, record.figures, record.take_figures()) for record in due[:BATCH_MOST]]
            for record, _, _ in taken:
                record.told_at = now
        if not taken:
            return
        reports = [
            (record.uuid, record.token, _told(body, attempt=record.attempt))
            for record, _, body in taken
        ]
        try:
            answers = report(self._ledger, reports, self.settings.token)
        except Trouble:
            with self._changed:
                for record, figures, _ in taken:
                    record.figures = {**figures, **record.figures}
            raise
        self._answered()
        for (record, figures, body), answer in zip(taken, answers):
            if self._take_answer(record, Message(REPORT, body), answer):
                continue
            with self._changed:  # it is registered again first
                record.figures = {**figures, **record.figures}

    def _tell_outboxes(self) -> None:
        with self._changed:
            waiting = [each for each in self._records if each.is_registered and each.outbox]
        for record in waiting:
            while record.is_registered and record.outbox:
                message = record.outbox[0]
                if message.kind in (END, SEAL) and self._unregistered_below(record):
                    break
                told = message.by(record.attempt)
                tokens = [record.token or self.settings.token, self.settings.token]
                answer = tell_of(self._ledger, record.uuid, told, tokens=tokens)
                self._answered()
                with self._changed:
                    if self._take_answer(record, message, answer) and record.outbox:
                        del record.outbox[0]
                    if record.is_ended and not record.outbox:
                        self._forget(record)

    def _unregistered_below(self, record: Record) -> list[Record]:
        """Return the jobs that are still to be registered below it, which its end would prevent."""
        with self._changed:
            new = [each for each in self._records if not each.is_registered]
            return [each for each in new if each.registration.get("parent") == record.uuid]

    def _take_answer(self, record: Record, message: Message, answer: Answer) -> bool:
        """Go by what the ledger says; return whether it has been told."""
        with self._changed:
            if answer.is_success:
                record.learn(answer.body)
                record.is_over |= answer.body.get("accepted") is False and "over" in answer.body
                self._notice(record, answer)
            elif answer.problem == "job-unknown":  # the ledger was restored
                record.is_registered = False
                record.not_before = time.monotonic() + AGAIN_AFTER_S
                return False
            else:
                self._notice(record, answer)
                self._give_up(record, message, answer)
            return True

    def _notice(self, record: Record, answer: Answer) -> None:
        """Notice that the job is to stop, and say so at once."""
        cancel = _dict(answer.body.get("cancel"))
        must_stop = answer.body.get("must_stop") is True or answer.problem in MUST_STOP
        if record.is_asked_to_stop or not (cancel or must_stop):
            return
        record.cancel = cancel or None
        record.must_stop = must_stop
        if cancel:
            record.figures["cancel_seen"] = True
            record.is_urgent = True
        for call in list(record.on_cancel):
            call()
        self._changed.notify_all()

    def _give_up(self, record: Record, message: Message, answer: Answer) -> None:
        """Tell no more of what the ledger refuses, and say so, once for a job."""
        at = self.settings
        line = Line(message.kind, record.uuid, message.body, at.url, at.token)
        if answer.problem != "job-discarded":
            _keep_refused(at.spool, [(line, answer)])
        if message.kind == REPORT and answer.problem not in (*MUST_STOP, "job-discarded"):
            record.report_every_s = REFUSED_EVERY_S
            record.is_over |= answer.status == HTTP_UNAUTHORIZED
            return
        self._last_trouble = f"{message.kind}: {_refusal(answer)}"
        record.is_over = record.is_refused = True
        if message.kind == REGISTER or answer.problem in (*MUST_STOP, "job-discarded"):
            _say(f"the ledger does not record job {record.uuid}: {_refusal(answer)}")
            record.outbox.clear()
            record.is_ended = True
            self._forget(record)

    def _forget(self, record: Record) -> None:
        with contextlib.suppress(ValueError):
            self._records.remove(record)
        self.spool.forget(record.uuid)
        self._changed.notify_all()

    def _flush(self) -> None:
        """Do a bit for what other processes have left behind."""
        if self._left_behind is None or time.monotonic() < self._flushes_at:
            return
        if next(self._left_behind.steps, None) is None:
            if self._left_behind.trouble:
                self._wants_flush = self.is_known_away = True
            self._left_behind = None
            self._flushes_at = float("inf")
        with self._changed:
            self._changed.notify_all()

    # The thread that listens.

    def _listen(self) -> None:
        ledger, tags = Ledger(self.settings.url), {"": ""}
        with self._changed:  # many a job has ended by then
            self._changed.wait_for(lambda: self._is_closed, LISTEN_AFTER_S)
        while not self._is_closed:
            with self._changed:
                self._changed.wait_for(lambda: self._is_closed or bool(self._control_path()))
            began = time.monotonic()
            try:
                self._hear(ledger, tags)
                pause_s = max(0.0, LISTEN_EVERY_S - (time.monotonic() - began))
            except Trouble as trouble:
                pause_s = trouble.retry_after_s or PAUSES_S[2]
            except Exception:
                pause_s = PAUSES_S[-1]
            with self._changed:
                self._changed.wait_for(lambda: self._is_closed, pause_s)
        ledger.close()

    def _control_path(self) -> str:
        """Return where to listen for what runs; a job's own token hears of that job only."""
        running = [each for each in self._records if each.tells_figures and not each.must_stop]
        if not running:
            return ""
        if _is_own(self.settings.token):
            return f"/jobs/{running[0].uuid}/control?wait={POLL_S}"
        return f"/control?instance={self.instance}&wait={POLL_S}"

    def _hear(self, ledger: Ledger, tags: dict[str, str]) -> None:
        """Wait until there is something else to tell than what was told before."""
        with self._changed:
            path = self._control_path()
            tokens = [self.settings.token]
            if path.startswith("/jobs/"):
                tokens = [each.token for each in self._records if each.uuid in path] + tokens
        if not path:
            return
        known = {"If-None-Match": tags[path]} if tags.get(path) else {}
        within_s = POLL_S + CALL_S
        answer = ledger.tell("GET", path, tokens=tokens, headers=known, within_s=within_s)
        if not answer.is_success:
            raise Trouble(_refusal(answer), PAUSES_S[-1])
        tags[path] = answer.tag
        said = [_dict(each) for each in _list(answer.body.get("jobs", [answer.body]))]
        with self._changed:
            for each in said:
                uuid = str(each.get("uuid") or each.get("job"))
                for record in self._records:
                    if record.uuid == uuid:
                        self._notice(record, Answer(HTTP_OK, each))


def _refusal(answer: Answer) -> str:
    detail = str(answer.body.get("detail") or answer.body.get("title") or "")
    return f"{answer.status} {answer.problem} {detail}".strip()


# ----------------------------------------------------------------- what other processes left behind

REFUSED_MOST = 16 * 2**20


def _keep_refused(folder: str, refused: Sequence[tuple[Line, Answer]]) -> None:
    """Keep what the ledger does not take, with its answer, for a person to read."""
    with contextlib.suppress(OSError):
        below = os.path.join(folder, "refused")
        os.makedirs(below, mode=0o700, exist_ok=True)
        path = os.path.join(below, f"{_now()[:10]}.jsonl")
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with contextlib.closing(os.fdopen(number, "ab")) as file:
            for line, answer in refused:
                if file.tell() < REFUSED_MOST:
                    kept = {"kind": line.kind, "job": line.job, "url": line.url, "body": line.body}
                    told = {**kept, "status": answer.status, "answer": answer.body}
                    file.write(json.dumps(told).encode() + b"\n")


class _Left:
    """A spool that was left behind, and its lines that the ledger has not taken yet."""

    def __init__(self, file: SpoolFile) -> None:
        self.file = file
        self.lines = file.lines()
        self.read = len(self.lines)

    def needs(self) -> Iterator[str]:
        """Yield the jobs to be registered before it is told: those it is about, and parents."""
        for line in self.lines:
            yield str(line.body.get("parent")) if line.kind == REGISTER else line.job

    def close(self) -> None:
        """Leave what is not told."""
        with contextlib.suppress(OSError):
            if not self.lines:
                self.file.remove()
                return
            if len(self.lines) < self.read:
                self.file.replace(self.lines)
        self.file.close()


class Flush:
    """Tells the ledger what processes that have ended could not tell it. Two at once do no harm."""

    def __init__(self, folder: str, ledger_at: Callable[[str], Ledger | None]) -> None:
        self.told = self.refused = self.left = 0
        self.trouble = ""
        self.steps = self._steps()
        """Each does a bit."""
        self._folder = folder
        self._ledger_at = ledger_at
        self._away: set[str] = set()
        """Ledgers that cannot be told now."""
        self._stuck: set[str] = set()
        """Jobs of which nothing more can be told now."""

    def _steps(self) -> Iterator[bool]:
        trees = self._trees()
        random.shuffle(trees)  # so that one that makes trouble is not in the way of the others
        for tree in trees:
            yield from self._tell_tree(tree)
            for left in tree:
                self._close(left)

    def _close(self, left: _Left) -> None:
        self.left += len(left.lines)
        left.close()

    def _trees(self) -> list[list[_Left]]:
        """Return the spools that nobody else has, each beside those that must be told before it."""
        found = [_Left(file) for file in map(SpoolFile.left_behind, self._paths()) if file]
        places = {line.job: left for left in found for line in left.lines if line.kind == REGISTER}
        trees: dict[int, list[_Left]] = {}
        for left in found:
            top, seen = left, {id(left)}
            while True:
                needed = (places.get(job) for job in top.needs())
                above = next((each for each in needed if each and id(each) not in seen), None)
                if above is None:
                    break
                top = above
                seen.add(id(top))
            trees.setdefault(id(top), []).append(left)
        return list(trees.values())

    def _paths(self) -> list[str]:
        with contextlib.suppress(OSError):
            names = os.listdir(self._folder)
            return [os.path.join(self._folder, name) for name in names if name.endswith(".jsonl")]
        return []

    def _tell_tree(self, tree: Sequence[_Left]) -> Iterator[bool]:
        """Tell of registrations, parents first; then what came before ends, then of ends."""
        lines = [(left, line) for left in tree for line in left.lines]
        registered = {line.job: (left, line) for left, line in lines if line.kind == REGISTER}
        for job in _parents_first(registered):
            yield from self._tell(*registered[job])
        last = {line.job: line for _, line in lines if _is_last(line.kind, line.body)}
        before = [each for each in lines if each[1].kind != REGISTER]
        for left, line in before:
            if line is not last.get(line.job):
                yield from self._tell(left, line)
        ends = [each for each in before if each[1] is last.get(each[1].job)]
        for left, line in sorted(ends, key=lambda each: str(each[1].body.get("observed_at"))):
            yield from self._tell(left, line)
        for left in tree:  # a registration goes with the last of its job, which may be left
            left.lines = [each for each in left.lines if each.job in self._stuck]

    def _tell(self, left: _Left, line: Line) -> Iterator[bool]:
        ledger = None if line.url in self._away else self._ledger_at(line.url)
        if ledger is None:
            self._stuck.add(line.job)
        if ledger is None or line.job in self._stuck:
            return
        yield True
        try:
            _, answer = tell(ledger, line, is_buffered=True)
        except Trouble as trouble:
            self.trouble = str(trouble)
            self._away.add(line.url)
            self._stuck.add(line.job)
        else:
            self._take_answer(left, line, answer)

    def _take_answer(self, left: _Left, line: Line, answer: Answer) -> None:
        if answer.problem == "parent-unknown":
            self._stuck.add(line.job)
            return
        if answer.is_success:
            self.told += 1
            if line.kind != REGISTER:
                left.lines.remove(line)
            return
        gone = [line]
        if line.kind == REGISTER:
            gone = [each for each in left.lines if each.job == line.job]
        if answer.problem != "job-discarded":
            self.refused += len(gone)
            _keep_refused(self._folder, [(each, answer) for each in gone])
        left.lines = [each for each in left.lines if each not in gone]
        if line.kind == REGISTER:
            self._stuck.add(line.job)


def flush_spool(folder: str) -> Flush:
    """Deliver what is in a spool to whichever ledgers it is for."""
    ledgers: dict[str, Ledger] = {}
    flushed = Flush(folder, lambda url: ledgers.setdefault(url, Ledger(url)))
    for _ in flushed.steps:
        pass
    for ledger in ledgers.values():
        ledger.close()
    return flushed


def _parents_first(registered: Mapping[str, tuple[_Left, Line]]) -> list[str]:
    ordered: dict[str, None] = {}

    def add(job: str, below: tuple[str, ...]) -> None:
        parent = str(registered[job][1].body.get("parent"))
        if parent in registered and parent not in below:
            add(parent, (*below, job))
        ordered[job] = None

    for job in registered:
        add(job, (job,))
    return list(ordered)


# --------------------------------------------------------------------------------------------- SDK


class Cancelled(BaseException):
    """The job was asked to stop."""


class Parent(NamedTuple):
    """A job of another process, as `extract` finds it."""

    uuid: str
    traceparent: str = ""


class _Inherited:
    """Says that a job is below the current one, or the one in the environment."""


INHERITED = _Inherited()
_current: contextvars.ContextVar[Job | None] = contextvars.ContextVar("job_ledger", default=None)


class Job:
    """A job, from entering a `with` block until it is left.

    How the block is left says how the job has ended: normally, it has succeeded; by an exception,
    it has failed; by an interruption or `Cancelled`, it was cancelled.
    """

    def __init__(
        self,
        operation: str,
        *,
        title: str | None = None,
        series: str | None = None,
        labels: Mapping[str, str] | None = None,
        source: str | None = None,
        external_id: str | None = None,
        subjects: Sequence[Mapping[str, str]] | None = None,
        links: Sequence[Mapping[str, str]] | None = None,
        parent: Job | Parent | str | _Inherited | None = INHERITED,
        lease: float | None = 90,
        deadline: float | None = None,
        abandon_after: float | None = None,
        on_deadline: str | None = None,
        cancellable: bool | None = None,
        ends: str | None = None,
        expect_children: int | None = None,
        tolerate: Sequence[str] | None = None,
        traceback: bool = False,
    ) -> None:
        self._options = _without_empty(
            {
                "operation": operation,
                "title": title,
                "series": series,
                "labels": dict(labels) if labels else None,
                "source": source,
                "external_id": external_id,
                "subjects": [dict(each) for each in subjects] if subjects else None,
                "links": [dict(each) for each in links] if links else None,
                "deadline_s": _figure(deadline),
                "abandon_after_s": _figure(abandon_after),
                "on_deadline": on_deadline,
                "cancellable": cancellable,
                "ends": ends,
                "expect_children": expect_children,
                "tolerate": list(tolerate) if tolerate else None,
            }
        )
        self._lease_s = None if ends == "children" else _figure(lease)
        self._parent = parent
        self._with_traceback = traceback
        self._courier: Courier | None = None
        self._record: Record | None = None
        self._token: contextvars.Token[Job | None] | None = None
        self._progress: Body = {}
        self._phases = 0
        self._result: object = None

    # From its begin to its end.

    def registration(self, above: Parent, instance: str = "") -> Body:
        """Return what is registered; without an instance, whoever has the token may report."""
        told = {
            "parent": above.uuid or None,
            "instance": instance or None,
            "traceparent": _new_traceparent(above.traceparent),
            "observed_at": _now(),
        }
        lease = {} if self._options.get("ends") == "children" else {"lease_s": self._lease_s}
        producer = {"host": _host(), "pid": os.getpid(), "agent": AGENT}
        return {**self._options, **lease, "producer": producer, **_without_empty(told)}

    def prepare(self) -> Job:
        """Draw its id, without telling anybody of the job."""
        self._courier = _the_courier()
        if self._courier is not None:
            above = _parent_of(self._parent)
            self._record = Record(self.registration(above, self._courier.instance))
        return self

    def begin(self) -> Job:
        if self._record is None:
            self.prepare()
        if self._record is not None and self._courier is not None:
            self._courier.begin(self._record)
        return self

    def end(
        self,
        outcome: str = "succeeded",
        *,
        reason: str | None = None,
        error: Mapping[str, object] | None = None,
        exit_code: int | None = None,
        signal_name: str | None = None,
    ) -> None:
        """Say how it has ended. Whoever leaves the block need not."""
        has_exited = exit_code is not None or signal_name is not None
        exited = {"code": exit_code, "signal": signal_name} if has_exited else None
        body = {"outcome": outcome, "reason": reason, "error": error, "exit": exited}
        self.finish({**body, "result": self._result})

    def finish(self, body: Mapping[str, object]) -> None:
        """Have an end told as it is."""
        if self._record is not None and self._courier is not None and self.is_ours:
            self._courier.end(self._record, _without_empty(body))

    def __enter__(self) -> Self:
        self.begin()
        self._token = _current.set(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._token is not None:
            with contextlib.suppress(ValueError):  # left in another context than it was entered in
                _current.reset(self._token)
        end = _end_by(error, is_requested=self.is_cancel_requested)
        if error is not None and self._with_traceback and "error" in end:
            import traceback

            text = "".join(traceback.format_exception(kind, error, trace))
            end["error"] = {**_dict(end["error"]), "message": _text(text[-16384:], 16384)}
        self.finish({**end, "result": self._result})

    # What it tells.

    def progress(
        self,
        done: float | None = None,
        total: float | None = None,
        *,
        unit: str | None = None,
        total_is: str | None = None,
        message: str | None = None,
    ) -> None:
        """Say how far it is. What is not given stays as it was."""
        told = {"done": _figure(done), "total": _figure(total), "unit": unit, "total_is": total_is}
        self._progress = {**self._progress, **_without_empty(told)}
        figures: Body = {"progress": self._progress} if "done" in self._progress else {}
        if message is not None:
            figures["message"] = _text(message)
        self._change(figures)

    def advance(self, count: float = 1) -> None:
        """Say that so much more is done."""
        self.progress(_number(self._progress.get("done"), 0) + count)

    def message(self, text: str) -> None:
        self._change({"message": _text(text)})

    def items(self, **counts: int) -> None:
        """Say how many items are `ok`, `failed` and `skipped`, and how many are in `total`."""
        self._change({"items": {name: _figure(count) for name, count in counts.items()}})

    def waiting(self, what: str, until: datetime) -> None:
        """Say for what it waits; until then nothing is expected of it."""
        self._change({"waiting": {"for": _text(what), "until": until.astimezone().isoformat()}})

    @contextlib.contextmanager
    def phase(self, name: str, of: int | None = None) -> Iterator[None]:
        """Be in a phase for the length of a block, the next one of so many."""
        self._phases += 1
        self._progress = {}
        self._change({"phase": _without_empty({"name": name, "n": self._phases, "of": of})})
        yield

    def track(
        self, things: Iterable[T], total: float | None = None, *, unit: str = "item"
    ) -> Iterator[T]:
        """Go through things, and say how many are done."""
        if total is None and isinstance(things, Sized):
            total = len(things)
        done, told_at = 0, time.monotonic()
        self.progress(0, total, unit=unit)
        try:
            for each in things:
                yield each
                done += 1
                if time.monotonic() - told_at > TRACK_EVERY_S:
                    told_at = time.monotonic()
                    self.progress(done)
        finally:
            self.progress(done)

    def result(self, result: object) -> None:
        """Say what has come of it, as JSON; it is told with the end."""
        try:
            text = json.dumps(result, default=str, skipkeys=True)
        except (TypeError, ValueError, RecursionError) as error:
            _say(f"a result is not recorded: {error}")
        else:
            if len(text) > RESULT_MOST:
                _say(f"a result is not recorded: it has more than {RESULT_MOST} characters")
            else:
                self._result = json.loads(text, parse_constant=str)  # NaN is no JSON

    def label(self, *removed: str, **labels: str) -> None:
        """Set labels, and remove others; keys that are no names go into `labels` of the job."""
        self._say(LABELS, {"set": labels, "remove": list(removed)})

    def child(self, operation: str, **options: Any) -> Job:
        """Return a job below this one, with the same options as any job."""
        return Job(operation, parent=self, **options)

    # Whether it is to stop.

    @property
    def is_cancel_requested(self) -> bool:
        return self._record is not None and self.is_ours and self._record.is_asked_to_stop

    def check_cancelled(self) -> None:
        """Raise `Cancelled` if the job was asked to stop."""
        if self.is_cancel_requested:
            raise Cancelled

    # Its name elsewhere.

    @property
    def uuid(self) -> str:
        """Its id, which is empty if there is no ledger."""
        return self._record.uuid if self._record else ""

    @property
    def traceparent(self) -> str:
        return str(self._record.registration["traceparent"]) if self._record else ""

    @property
    def is_ours(self) -> bool:
        """Whether it is a job of this process, which has not been forked since."""
        return self._courier is not None and self._courier.is_ours

    def own_token(self) -> str:
        """Return the job's own token, if the ledger tells it in time."""
        record = self._record
        if record is None or self._courier is None:
            return ""
        self._courier.wait(record.is_answered.is_set)
        return record.token

    def on_cancel(self, call: Callable[[], None]) -> None:
        """Have something called once the job is asked to stop, by another thread than this."""
        if self._record is not None:
            self._record.on_cancel.append(call)
            if self.is_cancel_requested:
                call()

    def close(self) -> bool:
        """Wait a little until all is told, at the end of the process; return whether it is."""
        return self._courier is None or self._courier.close()

    @property
    def is_refused(self) -> bool:
        """Whether the ledger has refused to record it, or its end."""
        return self._record is not None and self._record.is_refused

    @property
    def trouble(self) -> str:
        """What is in the way of telling the ledger."""
        return self._courier.trouble if self._courier else ""

    def _change(self, figures: Body) -> None:
        if self._record is not None and self._courier is not None and self.is_ours and figures:
            self._courier.change(self._record, figures)

    def _say(self, kind: str, body: Body) -> None:
        if self._record is not None and self._courier is not None and self.is_ours:
            self._courier.say(self._record, kind, body)

    def retry(self, failed: Mapping[str, object]) -> None:
        """End this attempt, but not the job, and take it up again."""
        if self._courier is not None:
            self._say(END, {**_without_empty(failed), "final": False})
            self._say(ATTEMPTS, {"instance": self._courier.instance})


TRACK_EVERY_S = 0.1


class AsyncJob(Job):
    """A job, from entering an `async with` block until it is left."""

    def child(self, operation: str, **options: Any) -> AsyncJob:
        """Return a job below this one, for an `async with` block of its own."""
        return AsyncJob(operation, parent=self, **options)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)

    @contextlib.asynccontextmanager
    async def cancel_scope(self) -> AsyncIterator[None]:
        """Cancel the task that is in this block once the job is asked to stop."""
        import asyncio

        task, loop, is_inside = asyncio.current_task(), asyncio.get_running_loop(), True

        def cancel() -> None:
            if is_inside and task is not None:
                task.cancel()

        def call() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(cancel)

        self.on_cancel(call)
        try:
            yield
        finally:
            is_inside = False


def _end_by(error: BaseException | None, *, is_requested: bool) -> Body:
    """Return how a job has ended whose block was left by this."""
    if error is None:
        return {"outcome": "succeeded"}
    if isinstance(error, SystemExit) and not _State.is_terminated:
        if error.code in (None, 0):
            return {"outcome": "succeeded"}
        code = error.code if isinstance(error.code, int) else 1
        message = None if isinstance(error.code, int) else _text(error.code)
        failed = _without_empty({"type": "SystemExit", "message": message})
        return _failed(failed, {"code": code & 0xFF, "signal": None})
    if not isinstance(error, Exception):
        return {"outcome": "cancelled", "reason": "requested" if is_requested else "interrupted"}
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ != "builtins":
        name = f"{kind.__module__}.{name}"
    return _failed({"type": _text(name, 200), "message": _words_of(error)})


def _failed(error: Body, exited: Body | None = None) -> Body:
    body = {"outcome": "failed", "reason": "program", "error": error, "exit": exited}
    return _without_empty(body)


def _words_of(error: BaseException) -> str:
    try:
        return _text(error, 4096)
    except Exception:
        return ""


def _host() -> str:
    return os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")


def _parent_of(given: Job | Parent | str | _Inherited | None) -> Parent:
    if isinstance(given, _Inherited):
        above = current()
        return extract() if above is None else Parent(above.uuid, above.traceparent)
    if isinstance(given, Job):
        return Parent(given.uuid, given.traceparent)
    return given if isinstance(given, Parent) else Parent(given or "")


class _State:
    """What there is once in a process."""

    settings: Settings | None = None
    couriers: ClassVar[Dict[Settings, Courier]] = {}
    is_hooked = False
    is_terminated = False
    """A SIGTERM has come, and the program's own handler goes on."""
    lock = threading.RLock()


def _the_courier() -> Courier | None:
    """Return what tells the ledger; None if there is none."""
    with _State.lock:
        settings = _State.settings or Settings.from_environment()
        if not settings.url:
            return None
        if not _State.is_hooked:
            _State.is_hooked = True
            atexit.register(_at_exit)
            _chain_sigterm()
        if settings not in _State.couriers:
            _State.couriers[settings] = Courier(settings)
        return _State.couriers[settings]


def _at_exit() -> None:
    """End what still runs, since its process ends, and wait a little until it is told."""
    for courier in list(_State.couriers.values()):
        for record in courier.running():
            courier.end(record, {"outcome": "cancelled", "reason": "interrupted"})
        courier.close()


def _chain_sigterm() -> None:
    before = signal.getsignal(signal.SIGTERM)
    if before in (signal.SIG_IGN, None):
        return

    def handle(number: int, frame: FrameType | None) -> None:
        _State.is_terminated = True
        if callable(before):
            before(number, frame)
            return
        _at_exit()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    with contextlib.suppress(ValueError):  # only the main thread may
        signal.signal(signal.SIGTERM, handle)


def _forget_jobs() -> None:
    """Have no job after a fork: the parent has it."""
    for courier in _State.couriers.values():
        courier.spool.leave()
    _State.couriers.clear()
    Courier.wait_left_s = WAIT_S
    _State.lock = threading.RLock()
    _current.set(None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_jobs)


job = Job
ajob = AsyncJob


def configure(url: str = "", token: str = "", spool: str = "") -> None:
    """Use this ledger for all jobs that begin from now on, whatever the environment says."""
    found = Settings.from_environment()
    _State.settings = Settings(url.rstrip("/"), token or found.token, spool or found.spool)


def current() -> Job | None:
    """Return the job in whose block this is, if there is one."""
    found = _current.get()
    return found if found is not None and found.is_ours else None


def flush(within_s: float = WAIT_S) -> bool:
    """Wait until the ledger is told all there is so far; return whether it is."""
    give_up = time.monotonic() + within_s
    couriers = list(_State.couriers.values())
    return all(each.is_told(give_up - time.monotonic()) for each in couriers)


def inject(
    carrier: MutableMapping[str, str] | None = None, *, headers: bool = False
) -> MutableMapping[str, str]:
    """Put the current job into an environment, or headers, so that others register below it."""
    found = current()
    filled: MutableMapping[str, str] = {} if carrier is None else carrier
    if found is not None:
        for name, value in zip(PARENT_NAMES, (found.uuid, found.traceparent)):
            filled[name.title().replace("_", "-") if headers else name] = value
    return filled


def extract(carrier: Mapping[str, str] | None = None) -> Parent:
    """Return the job that `inject` put into headers, or an environment: by default, our own.

    Names of headers may be written in any way.
    """
    given = os.environ if carrier is None else carrier
    found = {str(name).upper().replace("-", "_"): value for name, value in given.items()}
    return Parent(*(found.get(name, "").strip() for name in PARENT_NAMES))


def tracked(operation: str, **options: Any) -> Callable[[F], F]:
    """Make each call of a function, or of a coroutine function, a job."""

    def decorate(function: F) -> F:
        import functools
        import inspect

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def call_async(*given: Any, **named: Any) -> Any:
                async with AsyncJob(operation, **options):
                    return await function(*given, **named)

            return cast("F", call_async)

        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def generate(*given: Any, **named: Any) -> Any:
                with Job(operation, **options):
                    return (yield from function(*given, **named))

            return cast("F", generate)

        @functools.wraps(function)
        def call(*given: Any, **named: Any) -> Any:
            with Job(operation, **options):
                return function(*given, **named)

        return cast("F", call)

    return decorate


# --------------------------------------------------------------------------------------------- run

DEADLINE_PASSED, WRAPPER_FAILED, NOT_EXECUTABLE, NOT_FOUND = 124, 125, 126, 127
TAIL_BYTES = 4096
PIECE_BYTES = 2**20
F_SETPIPE_SZ, F_GETPIPE_SZ = 1031, 1032
"""Of Linux; Python knows them from 3.10 on."""
SILENCE_S = 0.2
LOOK_EVERY_S = 1.0
PARSE_EVERY_S = 0.5
LONGEST_PAUSE_S = 60.0
FORWARDED = ("TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "CONT", "TSTP", "WINCH")
TO_THE_COMMAND_ONLY = ("USR1", "USR2", "WINCH")
INTERRUPTING = ("TERM", "INT", "HUP", "QUIT")


class Figures(NamedTuple):
    """How far a command says that it is."""

    done: int | None
    total: int | None
    unit: str | None = None
    total_is: str | None = None
    message: str | None = None


def figures_in_file(text: str) -> Figures | None:
    """Read the last whole line, `N/M message`; `N message` and mere words will do."""
    lines = [line.strip() for line in text.rpartition("\n")[0].splitlines() if line.strip()]
    if not lines:
        return None
    found = re.match(r"(\d+)(?:\s*/\s*(\d+))?(?:\s+|$)(.*)", lines[-1])
    if found is None:
        return Figures(None, None, message=lines[-1])
    return Figures(int(found[1]), int(found[2]) if found[2] else None, message=found[3] or None)


def figures_of_rsync(text: str) -> Figures | None:
    """Read what `rsync --info=progress2` prints; its total grows while it still looks for files."""
    found = re.findall(r"([\d,.']+)\s+(\d+)%.*?(?:(ir|to)-chk=\d+/\d+|(?=\r|\n|$))", text)
    if not found:
        return None
    _, percent, looks = found[-1]
    total_is = "estimate" if looks == "ir" else "exact"
    return Figures(int(percent), 100, unit="percent", total_is=total_is)


def figures_by(pattern: str) -> Callable[[str], Figures | None]:
    """Read the last match: its groups are what is done, and of how much; of 100 if there is one."""
    compiled = re.compile(pattern)

    def read(text: str) -> Figures | None:
        found = list(compiled.finditer(text))
        if not found:
            return None
        numbers = [int(float(each)) for each in found[-1].groups() if each]
        if len(numbers) == 1:
            return Figures(numbers[0], 100, unit="percent")
        return Figures(numbers[0], numbers[1]) if numbers else None

    return read


class Pump(threading.Thread):
    """Passes on what a command writes, as it is, and remembers the last of it."""

    def __init__(self, target: int, read: Callable[[str], Figures | None] | None) -> None:
        super().__init__(name="job-ledger-pump", daemon=True)
        self.source, self.inlet = os.pipe()
        with contextlib.suppress(OSError, AttributeError):
            fcntl.fcntl(self.source, F_SETPIPE_SZ, PIECE_BYTES)
        self.figures: Figures | None = None
        self.tail = b""
        self._target = target
        self._read = read
        self._passed = 0
        self._most = float("inf")
        self._reads_since = float("inf")
        self._is_done = threading.Event()
        self._parsed_at = 0.0

    def run(self) -> None:
        try:
            while self._passed < self._most:
                self._reads_since = time.monotonic()
                piece = os.read(self.source, PIECE_BYTES)
                self._reads_since = float("inf")
                if not piece:
                    break
                self._pass_on(piece)
                self._passed += len(piece)
                self._remember(piece)
        except OSError:
            pass  # whoever read it has gone: the command gets its own SIGPIPE
        self._is_done.set()
        os.close(self.source)

    def _pass_on(self, piece: bytes) -> None:
        left = memoryview(piece)
        while left:
            try:
                left = left[os.write(self._target, left) :]
            except BlockingIOError:
                import select

                select.select([], [self._target], [])

    def _remember(self, piece: bytes) -> None:
        self.tail = (self.tail + piece[-TAIL_BYTES:])[-TAIL_BYTES:]
        if self._read and time.monotonic() - self._parsed_at > PARSE_EVERY_S:
            self._parsed_at = time.monotonic()
            self._parse()

    def _parse(self) -> None:
        if self._read:
            self.figures = self._read(self.tail.decode("utf-8", "replace")) or self.figures

    def finish(self) -> None:
        """Pass on what the command has left in the pipe, but nothing that others write to it."""
        with contextlib.suppress(OSError, AttributeError):
            in_pipe = fcntl.fcntl(self.source, F_GETPIPE_SZ)
            self._most = self._passed + in_pipe + PIECE_BYTES  # which is being passed on
        while not self._is_done.wait(SILENCE_S / 4):
            if time.monotonic() - self._reads_since > SILENCE_S:
                break
        self._parse()


class Signals:
    """The signals that come to the wrapper, one after the other. They interrupt nothing."""

    def __init__(self) -> None:
        self.before: set[int] = set()
        """What was blocked, which the command inherits."""
        numbers = {getattr(signal, f"SIG{name}") for name in FORWARDED}
        wanted = {each for each in numbers if signal.getsignal(each) != signal.SIG_IGN}
        self._wanted = wanted | {signal.SIGCHLD}
        self._come: queue.SimpleQueue[int] | None = None
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if hasattr(signal, "sigtimedwait"):
            blocked = signal.pthread_sigmask(signal.SIG_BLOCK, self._wanted)
            self.before = {int(each) for each in blocked}
            return
        import queue

        come: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._come = come  # where signals cannot be waited for
        for each in self._wanted:
            signal.signal(each, lambda number, _: come.put(number))

    def wait(self, within_s: float) -> tuple[int, bool] | None:
        """Return the next one, and whether the terminal has sent it, to the command too."""
        if self._come is None:
            info = signal.sigtimedwait(self._wanted, max(within_s, 0))
            return (info.si_signo, info.si_code > 0) if info else None
        with contextlib.suppress(Exception):  # queue.Empty
            number = self._come.get(timeout=max(within_s, 0))
            return number, number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP)
        return None


class Command:
    """The command, as a process."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str]) -> None:
        self._words = words
        self._environment = environment
        self._has_terminal = _has_terminal()
        self.pid = 0

    def start(self, signals: Signals, pumps: Mapping[int, Pump]) -> None:
        """Start it; raise an `OSError` if it cannot be."""
        try:
            self.pid = self._spawn(self._words, signals, pumps)
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
            found = _found(self._words[0])  # a script that does not say by what, as in a shell
            self.pid = self._spawn(["/bin/sh", found, *self._words[1:]], signals, pumps)

    def _spawn(self, words: Sequence[str], signals: Signals, pumps: Mapping[int, Pump]) -> int:
        more: dict[str, Any] = {} if self._has_terminal else {"setpgroup": 0}
        return os.posix_spawnp(
            words[0],
            list(words),
            self._environment,
            file_actions=[(os.POSIX_SPAWN_DUP2, pump.inlet, fd) for fd, pump in pumps.items()],
            setsigmask=signals.before,
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
            **more,
        )

    def poll(self) -> int | None:
        """Return how it has ended: its exit code, or the number of a signal, less than 0."""
        pid, status = os.waitpid(self.pid, os.WNOHANG | os.WUNTRACED)
        if pid == 0:
            return None
        if os.WIFSTOPPED(status):
            if self._has_terminal:
                os.kill(os.getpid(), signal.SIGSTOP)  # for the shell, which has stopped us both
            return None
        return os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)

    def forward(self, number: int, *, by_terminal: bool) -> None:
        """Pass a signal on, unless it has come to the command as well."""
        if by_terminal and self._has_terminal:
            return
        self.send(number, to_all=signal.Signals(number).name[3:] not in TO_THE_COMMAND_ONLY)

    def kill(self) -> None:
        """Kill it and all that it has started; a group that is not its own has others in it."""
        below = _below(self.pid) if self._has_terminal else []
        self.send(signal.SIGKILL, to_all=True)
        for pid in below:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)

    def send(self, number: int, *, to_all: bool) -> None:
        """Send a signal to the command, or to all that it has started.

        With a terminal it shares our group, and perhaps that of a pipeline, so it is for it alone.
        """
        with contextlib.suppress(OSError):
            if to_all and not self._has_terminal:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)


def _below(pid: int) -> list[int]:
    """Return the processes below this one, as far as their parents still are there."""
    try:
        with os.popen("ps -A -o pid= -o ppid=") as listing:  # noqa: S605, S607 - as PATH has it
            pairs = [(int(own), int(above)) for own, above in map(str.split, listing)]
    except (OSError, ValueError):
        return []
    below = [pid]
    for each in below:
        below += [own for own, above in pairs if above == each]
    return below[1:]


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _found(name: str) -> str:
    if "/" in name:
        return name
    places = (os.path.join(folder, name) for folder in os.get_exec_path())
    return next((place for place in places if os.access(place, os.X_OK)), name)


class ProgressFile:
    """The file in which a command says how far it is. Without one it says so in vain."""

    def __init__(self) -> None:
        self.path = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"job-ledger-{_new_id()}")  # noqa: S108
        self._seen = (0, 0)
        try:
            os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except OSError:
            self.path = os.devnull

    def news(self) -> Figures | None:
        """Return what has been written since the last look."""
        with contextlib.suppress(OSError):
            found = os.stat(self.path)
            seen = (found.st_size, found.st_mtime_ns)
            if seen == self._seen or self.path == os.devnull:
                return None
            self._seen = seen
            with open(self.path, "rb") as file:
                file.seek(max(0, found.st_size - TAIL_BYTES))
                return figures_in_file(file.read().decode("utf-8", "replace") + "\n")
        return None

    def remove(self) -> None:
        if self.path != os.devnull:
            with contextlib.suppress(OSError):
                os.unlink(self.path)


class Run:
    """`run`: a command as a job. What it does to the command does not depend on the ledger."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.progress = ProgressFile()
        self.signals = Signals()
        self.pumps: dict[int, Pump] = {}
        self.deadline = time.monotonic() + (options.deadline or float("inf"))
        self.is_overdue = False
        self.is_interrupted = False
        program = os.path.basename(options.command[0])
        self.job = _described_job(options.operation or program[:200], options)

    def run(self) -> int:
        """Run the command, again if that is wanted; return the exit code."""
        self._try(self.job.prepare)
        has_to_wait = self.options.own_token or self.options.id
        if has_to_wait:
            self._try(self.job.begin)
            self._try(self.job.own_token)
        code = self._run_once(begins=not has_to_wait)
        for nth in range(self.options.retry):
            if not self._is_retried(code):
                break
            self._try(partial(self.job.retry, self._end_of(code)))
            if not self._pause(min(2.0**nth, LONGEST_PAUSE_S)):
                break
            code = self._run_once(begins=False)
        return self._leave(code)

    def _try(self, work: Callable[[], object]) -> None:
        """Do what is for the ledger; the command is run in any case."""
        try:
            work()
        except Exception as error:
            self._tell_user(f"{type(error).__name__}: {error}")

    def _tell_user(self, text: str) -> None:
        if self.options.verbose:
            print(f"jl: {text}", file=sys.stderr)

    def _environment(self) -> dict[str, str]:
        more = {"JOB_LEDGER_PROGRESS_FILE": self.progress.path}
        if self.job.uuid:
            more["JOB_LEDGER_JOB"] = more["JOB_LEDGER_PARENT"] = self.job.uuid
            more["TRACEPARENT"] = self.job.traceparent
        if self.options.own_token and self.job.own_token():
            more["JOB_LEDGER_TOKEN"] = self.job.own_token()
        return {**os.environ, **more}

    def _run_once(self, *, begins: bool) -> int:
        """Return its exit code, or the number of a signal, less than 0."""
        self.pumps = self._new_pumps() if self.job.uuid else {}
        command = Command(self.options.command, self._environment())
        try:
            command.start(self.signals, self.pumps)
        except OSError as error:
            print(f"jl: {self.options.command[0]}: {error.strerror}", file=sys.stderr)
            return NOT_FOUND if error.errno == errno.ENOENT else NOT_EXECUTABLE
        finally:
            if begins:
                self._try(self.job.begin)
        for pump in self.pumps.values():
            os.close(pump.inlet)
            pump.start()
        status = self._watch(command)
        for pump in self.pumps.values():
            pump.finish()
        self._try(self._look)
        return status

    def _new_pumps(self) -> dict[int, Pump]:
        reads, wants = self.options.progress, self.options.log
        pumps = {}
        if reads or wants == "tail":
            pumps[1] = Pump(1, reads)
        if wants == "tail" or (wants is None and not os.isatty(2)):
            pumps[2] = Pump(2, None)
        return pumps

    def _watch(self, command: Command) -> int:
        """Wait for its end; see to signals, to the deadline and to requests to cancel."""
        self.job.on_cancel(lambda: os.kill(os.getpid(), signal.SIGCHLD))
        stops_at = kills_at = float("inf")
        while True:
            status = command.poll()
            if status is not None:
                return status
            now = time.monotonic()
            self.is_overdue |= now >= self.deadline
            if stops_at > now and (self.is_overdue or self.job.is_cancel_requested):
                stops_at, kills_at = now, now + self.options.grace
                command.send(self.options.cancel_signal, to_all=True)
                command.send(signal.SIGCONT, to_all=True)
            if now >= kills_at:
                kills_at = float("inf")
                command.kill()
            until = min(self.deadline if not self.is_overdue else float("inf"), kills_at)
            come = self.signals.wait(min(LOOK_EVERY_S, until - now))
            if come is None:
                self._try(self._look)
            elif come[0] != signal.SIGCHLD:
                self.is_interrupted |= signal.Signals(come[0]).name[3:] in INTERRUPTING
                command.forward(come[0], by_terminal=come[1])

    def _look(self) -> None:
        """Report what the command says about its progress."""
        news = self.progress.news()
        for pump in self.pumps.values():
            news, pump.figures = news or pump.figures, None
        if news is not None:
            self.job.progress(
                news.done, news.total, unit=news.unit, total_is=news.total_is, message=news.message
            )

    def _is_retried(self, status: int) -> bool:
        if status == 0 or self.is_interrupted or self.is_overdue or self.job.is_cancel_requested:
            return False
        return not self.options.retry_on or status in self.options.retry_on

    def _pause(self, pause_s: float) -> bool:
        """Wait before it is tried again; return whether it still is to be."""
        until = min(time.monotonic() + pause_s, self.deadline)
        while time.monotonic() < until:
            come = self.signals.wait(min(LOOK_EVERY_S, until - time.monotonic()))
            if come and signal.Signals(come[0]).name[3:] in INTERRUPTING:
                self.is_interrupted = True
            if self.is_interrupted or self.job.is_cancel_requested:
                return False
        return time.monotonic() < self.deadline

    def _end_of(self, status: int) -> Body:
        """Return how it has ended."""
        by_signal, name = status < 0, _signal_name(-status)
        exited = {"code": None if by_signal else status, "signal": name if by_signal else None}
        if status == 0 and not self.is_overdue:
            return {"outcome": "succeeded", "exit": exited}
        if self.is_overdue:
            outcome, reason = "failed", "deadline"
        elif self.job.is_cancel_requested or self.is_interrupted:
            outcome = "cancelled"
            reason = "requested" if self.job.is_cancel_requested else "interrupted"
        else:
            outcome, reason = "failed", "signal" if by_signal else "program"
        kind = f"signal.{name}" if by_signal else f"exit.{status}"
        error = {"type": kind, "tail": self._tail() or None}
        return {
            "outcome": outcome,
            "reason": reason,
            "exit": exited,
            "error": _without_empty(error),
        }

    def _tail(self) -> str:
        """Return the last that the command has printed, without what must not be stored."""
        text = "".join(pump.tail.decode("utf-8", "replace") for pump in self.pumps.values())
        for pattern in self.options.redact:
            text = pattern.sub("[redacted]", text)
        return text[-TAIL_BYTES:]

    def _leave(self, status: int) -> int:
        """Tell how it has ended; return the exit code."""
        self.progress.remove()
        self._try(lambda: self.job.finish(self._end_of(status)))
        is_told = self.job.close()
        if not is_told:
            self._tell_user(f"spooled, to be delivered later: {self.job.trouble or 'no answer'}")
        if self.options.strict and (not is_told or self.job.is_refused):
            return WRAPPER_FAILED
        if self.is_overdue:
            return DEADLINE_PASSED
        return 128 - status if status < 0 else status


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


# ---------------------------------------------------------------------------------- other commands

USAGE = """\
usage: jl COMMAND ...

  run [OPTIONS] -- COMMAND ...   run a command as a job; its exit code is the command's
  start OPERATION                begin a job, and print its id
  report [ID]                    say how far it is
  end [ID]                       say how it has ended
  cancelled [ID]                 succeed if it was asked to stop
  flush                          deliver what could not be delivered before

ID is $JOB_LEDGER_JOB by default, which `run` sets. `jl COMMAND --help` shows the options.
JOB_LEDGER_URL and JOB_LEDGER_TOKEN say which ledger is told; without a URL none is.
"""


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError(text)
    return key, value


def _signal_number(text: str) -> int:
    if text.isdigit():
        return int(text)
    return int(signal.Signals[f"SIG{text.upper().replace('SIG', '', 1)}"])


def _ends(text: str) -> set[int]:
    """Return the exit codes, and the signals as numbers less than 0, in `75,TERM`."""
    return {int(each) if each.isdigit() else -_signal_number(each) for each in text.split(",")}


def _progress_reader(text: str) -> Callable[[str], Figures | None]:
    if text == "rsync":
        return figures_of_rsync
    kind, _, pattern = text.partition(":")
    if kind != "regex":
        raise ValueError(text)
    return figures_by(pattern)


def _new_parser(command: str, about: str, *, fails_with: int = 2) -> argparse.ArgumentParser:
    import argparse

    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> NoReturn:
            self.print_usage(sys.stderr)
            self.exit(fails_with, f"jl {command}: {message.replace('invalid _', 'invalid ')}\n")

    return Parser(prog=f"jl {command}", description=about, allow_abbrev=False)


def _add_job_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--title", help="what people read")
    add("--series", help="what jobs of the same kind have in common: nas/photos-nightly")
    add("--label", type=_label, action="append", default=[], metavar="KEY=VALUE")
    add("--parent", metavar="ID", help="the job above; $JOB_LEDGER_PARENT by default")
    add("--id", help="what identifies this job at its source, so that it is recorded once")
    add("--deadline", type=_duration, metavar="TIME", help="90, 30m, 6h, 2d")


def _described_job(operation: str, options: argparse.Namespace) -> Job:
    return Job(
        operation,
        title=options.title,
        series=options.series,
        labels=dict(options.label),
        external_id=options.id,
        lease=options.lease,
        deadline=options.deadline,
        parent=options.parent or INHERITED,
    )


def _run_options(words: Sequence[str]) -> argparse.Namespace:
    parser = _new_parser("run", "Run a command as a job.", fails_with=WRAPPER_FAILED)
    add = parser.add_argument
    _add_job_options(parser)
    add("--operation", help="the name of what is done; the command's name by default")
    add(
        "--lease",
        type=_duration,
        default=90,
        metavar="TIME",
        help="without a report for so long, it is lost",
    )
    add("--retry", type=int, default=0, metavar="N", help="run it up to N times more if it fails")
    add("--retry-on", type=_ends, metavar="75,TERM", help="only if it ends like this")
    add("--cancel-signal", type=_signal_number, default="TERM", metavar="SIGNAL")
    add("--grace", type=_duration, default=60, metavar="TIME", help="from that signal to KILL")
    add("--progress", type=_progress_reader, metavar="rsync | regex:PATTERN")
    add(
        "--log",
        choices=["none", "tail"],
        help="tail: keep the end of stdout, too; none: of neither",
    )
    add("--redact", type=re.compile, action="append", default=[], metavar="REGEX")
    add("--own-token", action="store_true", help="give the command the token of its job only")
    add("--strict", action="store_true", help=f"exit with {WRAPPER_FAILED} if it is not recorded")
    add("--verbose", action="store_true", help="say what is wrong with the recording")
    add("--dry-run", action="store_true", help="show what would be recorded, and run nothing")
    add("command", nargs="...", metavar="-- COMMAND ...")
    options = parser.parse_args(words)
    if options.command[:1] == ["--"]:
        del options.command[0]
    if not options.command:
        parser.error("there is no command")
    return options


def _run(words: Sequence[str]) -> int:
    options = _run_options(words)
    global is_quiet  # noqa: PLW0603
    is_quiet = not options.verbose
    run = Run(options)
    if options.dry_run:
        run.progress.remove()
        told = run.job.registration(_parent_of(options.parent or INHERITED))
        print(json.dumps({"command": options.command, "job": told}, indent=2))
        return 0
    code = run.run()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # nothing is left to do, and a thread may wait for a name server


def _start(words: Sequence[str]) -> int:
    parser = _new_parser("start", "Begin a job, and print its id. It ends by `jl end`.")
    parser.add_argument("operation")
    _add_job_options(parser)
    parser.add_argument("--lease", type=_duration, metavar="TIME", help="expect reports so often")
    options = parser.parse_args(words)
    begun = _described_job(options.operation, options)
    told = begun.registration(_parent_of(options.parent or INHERITED))
    print(_tell_once(_new_id(), REGISTER, told))
    return 0


def _tell_once(job: str, kind: str, body: Body) -> str:
    """Tell of a job that other processes tell of, too; return its id.

    What cannot be told in time is spooled.
    """
    settings = Settings.from_environment()
    if not settings.url or not job:
        return job
    line = Line(kind, job, body, settings.url, settings.token)
    spool, mark = Spool(settings.spool, os.urandom(16).hex()), Mark(settings.spool, settings.url)
    spool.write(line)
    ledger = Ledger(settings.url)
    told = None if mark.is_set else _within(WAIT_S, lambda: tell(ledger, line, is_buffered=False))
    if told is None:
        mark.set()
    else:
        job, answer = told
        spool.forget(line.job)
        if not answer.is_success:
            _keep_refused(settings.spool, [(line, answer)])
            print(f"jl: {kind}: {_refusal(answer)}", file=sys.stderr)
    spool.close()
    if told is not None:
        _within(WAIT_S / 2, lambda: flush_spool(settings.spool))
    return job


def _within(within_s: float, work: Callable[[], T]) -> T | None:
    """Return what comes of it; None if it takes too long, or there is trouble."""
    results: list[T] = []

    def do() -> None:
        with contextlib.suppress(Trouble):
            results.append(work())

    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    thread.join(within_s)
    return results[0] if results else None


def _add_id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", nargs="?", default=os.environ.get("JOB_LEDGER_JOB", ""), metavar="ID")


def _report(words: Sequence[str]) -> int:
    parser = _new_parser("report", "Say how far a job is, or only that it goes on.")
    _add_id(parser)
    add = parser.add_argument
    add("--done", type=int)
    add("--total", type=int)
    add("--unit")
    add("--phase")
    add("--message")
    options = parser.parse_args(words)
    progress = {"done": options.done, "total": options.total, "unit": options.unit}
    told: Body = {
        "progress": _without_empty(progress) if options.done is not None else None,
        "phase": {"name": options.phase} if options.phase else None,
        "message": _text(options.message) if options.message else None,
    }
    _tell_once(options.id, REPORT, {**_without_empty(told), "observed_at": _now()})
    return 0


def _end(words: Sequence[str]) -> int:
    parser = _new_parser("end", "Say how a job has ended.")
    _add_id(parser)
    add = parser.add_argument
    add("--exit", type=int, metavar="CODE", help="by an exit code, as in $?: failed unless 0")
    add("--outcome", choices=["succeeded", "failed", "cancelled", "skipped"])
    add("--message", help="why it has failed")
    add("--result", type=json.loads, metavar="JSON")
    options = parser.parse_args(words)
    outcome = options.outcome or ("failed" if options.exit else "succeeded")
    kind = f"exit.{options.exit}" if options.exit else "failed"
    error = _without_empty({"type": kind, "message": options.message})
    told: Body = {
        "outcome": outcome,
        "exit": None if options.exit is None else {"code": options.exit, "signal": None},
        "error": error if outcome == "failed" else None,
        "result": options.result,
    }
    _tell_once(options.id, END, {**_without_empty(told), "observed_at": _now()})
    return 0


def _cancelled(words: Sequence[str]) -> int:
    parser = _new_parser("cancelled", "Succeed if a job was asked to stop, and fail otherwise.")
    _add_id(parser)
    job, settings = parser.parse_args(words).id, Settings.from_environment()
    if not settings.url or not job:
        return 1
    ledger = Ledger(settings.url)
    answer = _within(WAIT_S, lambda: ledger.tell("GET", f"/jobs/{job}", tokens=[settings.token]))
    return 0 if answer is not None and answer.body.get("cancel") else 1


def _flush(words: Sequence[str]) -> int:
    about = "Deliver what could not be delivered before. Fail if something is still left."
    _new_parser("flush", about).parse_args(words)
    done = flush_spool(Settings.from_environment().spool)
    print(f"{done.told} delivered, {done.refused} refused, {done.left} left", file=sys.stderr)
    return 1 if done.left else 0


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "run": _run,
    "start": _start,
    "report": _report,
    "end": _end,
    "cancelled": _cancelled,
    "flush": _flush,
}


def main(words: Sequence[str] | None = None) -> int:
    """Run a command of `jl`; return its exit code."""
    given = sys.argv[1:] if words is None else words
    if given[:1] == ["--version"]:
        print(f"jl {__version__}")
        return 0
    if not given or given[0] not in COMMANDS:
        is_asked_for = given[:1] in (["--help"], ["-h"])
        print(USAGE, end="", file=sys.stdout if is_asked_for else sys.stderr)
        return 0 if is_asked_for else 2
    return COMMANDS[given[0]](given[1:])


if __name__ == "__main__":
    sys.exit(main())
