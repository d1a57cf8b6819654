"""What the caller of a request may do: everything of its account, or what its token says.

Scopes say which kinds of requests a token may make, restrictors about which jobs. A login, a
session and a token without scopes may do whatever their account may.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from api.accounts.account import Account
from api.accounts.scopes import SCOPES, Scope
from ledger.domain.aggregates.produced import Produced
from ledger.domain.errors import Expected
from ledger.domain.errors.producers import AttemptReplaced
from ledger.domain.events.producers import JobRegistered
from ledger.domain.labels import is_key, is_value
from ledger.store.tables.tokens import GrantedToken

ALL_SCOPES: Final = frozenset(SCOPES)
JOB_SCOPES: Final = frozenset[Scope](
    {"jobs:register", "jobs:report", "jobs:child", "jobs:read", "jobs:label"}
)
"""What a job's own token may do, about this job; to register only below it."""
OVER_SCOPES: Final = frozenset[Scope]({"jobs:report", "jobs:read"})
"""What it may do after the job's end: repeat the end, and be told that the job is over."""
OF_PREFIX: Final = frozenset[Scope]({"jobs:register", "jobs:report"})
"""These only reach jobs whose source is the token's prefix or lies below it."""
SERIES_MOST: Final = 200
NUMBER_DIGITS: Final = 7


class ScopeMissing(Expected):
    """The token may not do this, whatever its account may."""

    def __init__(self, message: str, scope: Scope | None = None) -> None:
        super().__init__(message)
        self.scope = scope


class WrongRestrictor(Expected):
    """A token cannot be restricted like this."""


class Restrictors(Struct, frozen=True):
    """What narrows a token: jobs of one series and with these labels, so many at a time.

    A `*` at the end of `series` stands for whatever follows.
    """

    series: str | None = None
    labels: Mapping[str, str] = {}
    max_running: int | None = None

    @staticmethod
    def parse(texts: Iterable[str]) -> "Restrictors":
        """Read texts such as `series=nas/*`. Raise `WrongRestrictor`."""
        found = Restrictors()
        for text in texts:
            found = _restricted(found, text)
        return found

    def texts(self) -> tuple[str, ...]:
        series = () if self.series is None else (f"series={self.series}",)
        most = () if self.max_running is None else (f"max_running={self.max_running}",)
        labels = (f"labels.{key}={value}" for key, value in sorted(self.labels.items()))
        return (*series, *labels, *most)

    def admit(self, series: str | None, labels: Mapping[str, str]) -> bool:
        """Return whether a job of this series, with these labels, is within them."""
        return (self.series is None or _is_within(series or "", self.series)) and all(
            labels.get(key) == value for key, value in self.labels.items()
        )

    def narrowed(self, wanted: "Restrictors") -> "Restrictors":
        """Return what is wanted, or else these. Raise `ScopeMissing` for what would be wider."""
        for key in self.labels.keys() & wanted.labels.keys():
            _check_narrower(wanted.labels[key] == self.labels[key], f"labels.{key}")
        if self.series is not None and wanted.series is not None:
            _check_narrower(_is_within(wanted.series, self.series), "series")
        if self.max_running is not None and wanted.max_running is not None:
            _check_narrower(wanted.max_running <= self.max_running, "max_running")
        return Restrictors(
            self.series if wanted.series is None else wanted.series,
            {**self.labels, **wanted.labels},
            self.max_running if wanted.max_running is None else wanted.max_running,
        )


def _is_within(series: str, pattern: str) -> bool:
    """Return whether a series, or all that another pattern matches, matches a pattern."""
    return series.startswith(pattern[:-1]) if pattern.endswith("*") else series == pattern


def _check_narrower(narrower: bool, what: str) -> None:  # noqa: FBT001 - the condition itself
    if not narrower:
        raise ScopeMissing(f"{what} would be wider than that of the token which issues it")


def _restricted(found: Restrictors, text: str) -> Restrictors:
    name, _, value = text.partition("=")
    key = name.removeprefix("labels.")
    if name == "series" and _is_pattern(value) and found.series is None:
        return replace(found, series=value)
    if key != name and is_key(key) and is_value(value) and key not in found.labels:
        return replace(found, labels={**found.labels, key: value})
    if name == "max_running" and _is_number(value) and found.max_running is None:
        return replace(found, max_running=int(value))
    raise WrongRestrictor(
        f"{text!r} is no restrictor, such as series=nas/*, labels.env=prod or max_running=50"
    )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= NUMBER_DIGITS


def _is_pattern(text: str) -> bool:
    return 0 < len(text) <= SERIES_MOST and text.isprintable() and "*" not in text[:-1]


class JobClaim(NamedTuple):
    """Which job, attempt and process a job's token is for; `instance` is a digest in hex."""

    job: str
    attempt: int
    instance: str


@dataclass(frozen=True, slots=True)
class Grant:
    """What the caller may do. Handlers ask it, and never look at headers."""

    account: Account
    token: str | None = None
    """The id of the token; of a job's token, that of the one which the job was registered with."""
    scopes: frozenset[Scope] = ALL_SCOPES
    scoped: bool = False
    """Whether only what is listed for its scopes is allowed, and nothing else of the account's."""
    restrictors: Restrictors = field(default_factory=Restrictors)
    source: str | None = None
    """The source of what it registers, if none is said; others must lie below. None is any."""
    expires: datetime | None = None
    job: JobClaim | None = None

    def instance(self, said: str | None = None) -> str:
        """Return the digest of the process that asks, in hex: of what it drew, if it says that.

        Else it is whom a job's token names; or the token stands for it, or the account.
        """
        if said is None and self.job is not None:
            return self.job.instance
        return sha256((said or self.token or self.account.uuid).encode()).hexdigest()

    def require(self, scope: Scope) -> None:
        """Raise `ScopeMissing` unless the caller has the scope."""
        if scope not in self.scopes:
            raise ScopeMissing(f"the token has not the scope {scope}", scope)

    def require_everything(self) -> None:
        """Raise `ScopeMissing` if the token may do only some things of the account."""
        if self.scoped:
            raise ScopeMissing("a token with scopes may not do this")

    def restrict(self, registered: JobRegistered, parent: str | None = None) -> JobRegistered:
        """Return what is registered, within what the token may register.

        An empty source is the token's own. Labels are forced on it, and so is a series without a
        `*`. Raise `ScopeMissing` if something else was said.
        """
        if self.job is not None and parent != self.job.job:
            raise ScopeMissing(f"the token registers only below job {self.job.job}")
        if parent is not None:
            self.require("jobs:child")
        registered = replace(registered, source=registered.source or self.source or "")
        if not self.has_source(registered.source):
            raise ScopeMissing(f"the token registers only what is {self.source} or below")
        series, only = registered.series, self.restrictors.series
        if series is None and only is not None and not only.endswith("*"):
            series = only
        forced = replace(
            registered, series=series, labels={**self.restrictors.labels, **registered.labels}
        )
        if not self.restrictors.admit(forced.series, forced.labels):
            texts = ", ".join(self.restrictors.texts())
            raise ScopeMissing(f"the token registers only within {texts}")
        return forced

    def has_source(self, source: str) -> bool:
        """Return whether a source is the token's, or lies below it."""
        return (
            self.source is None
            or source == self.source
            or source.startswith(self.source.rstrip("/") + "/")
        )

    @property
    def is_narrow(self) -> bool:
        """Whether it reaches only some jobs of the account."""
        only = self.restrictors
        return self.job is not None or only.series is not None or bool(only.labels)

    def reaches(self, registered: JobRegistered | None, scope: Scope) -> bool:
        """Return whether the token may do this with a job that was registered so.

        Without a registration it is no producer's job.
        """
        if registered is None:
            return scope not in OF_PREFIX and not self.is_narrow
        own = scope not in OF_PREFIX or self.has_source(registered.source)
        return own and self.restrictors.admit(registered.series, registered.labels)

    def sees(self, job: str, registered: JobRegistered | None) -> bool:
        """Return whether a job that was registered so is listed for the caller."""
        if self.job is not None:
            return job == self.job.job
        return not self.scoped or self.reaches(registered, "jobs:read")

    def check_labels(self, labels: Iterable[str], removed: Iterable[str]) -> None:
        """Raise `ScopeMissing` if a label is to change that the token forces on its jobs."""
        for key in (*labels, *removed):
            if key in self.restrictors.labels:
                raise ScopeMissing(f"the token forces the label {key}, which it cannot change")

    def attempt_of(self, job: str, produced: Produced, said: int | None) -> int | None:
        """Return the attempt that a report of this job is about: the one said, or the token's.

        Raise `AttemptReplaced` if the token names another process than the one which makes the
        newest attempt: after a restore, that may have the same number.
        """
        claim = self.job
        if claim is None:
            return said
        newest, holder = produced.attempt, produced.holder
        if claim.attempt == newest and holder and holder.instance != claim.instance:
            raise AttemptReplaced(job, claim.attempt, newest)
        if said is not None and said != claim.attempt:
            raise AttemptReplaced(job, said, max(newest, claim.attempt))
        return claim.attempt


def grant_of_token(account: Account, token: GrantedToken) -> Grant:
    """Return what a token may do."""
    scopes = ALL_SCOPES if token.scopes is None else ALL_SCOPES.intersection(token.scopes)
    return Grant(
        account,
        token.id,
        scopes,
        scoped=token.scopes is not None,
        restrictors=Restrictors.parse(token.restrictors),
        source=token.source,
        expires=token.expires,
    )
