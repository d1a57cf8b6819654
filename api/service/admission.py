"""Admission: what accounts have of the service at one moment, and how much of it they may have.

Where nobody has logged in, an address stands for the account.

An account spends its own budget, also when staff look at what another has; so who takes too much
meets their own limit. All together are limited as well, which protects the machine.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, NamedTuple, Self, get_args

from api.service.limits import Limits
from ledger.domain.errors import Expected
from ledger.store.metrics import Metric

Resource = Literal[
    "websockets",
    "long-polls",
    "uploads",
    "downloads",
    "waiting-reads",
    "streams",
    "answer-bytes",
    "answer-bytes-without-login",
]
RESOURCES: tuple[Resource, ...] = get_args(Resource)
Rate = Literal["requests"]
"""What is not had for a while, but counted in time."""
RATES: tuple[Rate, ...] = get_args(Rate)

BUDGET_USED = Metric(
    *("budget_used", "gauge", ("resource",)),
    "What all accounts have of a resource in this process.",
)
REFUSED = Metric(
    *("refused", "counter", ("resource",)),
    "Requests that were refused because their account, or all together, had enough of a resource.",
)


class _Terms(NamedTuple):
    """The limits of a resource, and what to say of it."""

    of_account: Callable[[Limits], int]
    of_all: Callable[[Limits], int]
    means: str
    helps: str
    """What a client can do to have another one."""
    retry_after_s: int
    who: str = "account"


_TERMS: Mapping[Resource, _Terms] = {
    "websockets": _Terms(
        lambda limits: limits.websockets_per_account,
        lambda limits: limits.websockets,
        means="websockets",
        helps="close one",
        retry_after_s=10,
    ),
    "long-polls": _Terms(
        lambda limits: limits.long_polls_per_account,
        lambda limits: limits.long_polls,
        means="requests that wait for a change",
        helps="ask without wait",
        retry_after_s=10,
    ),
    "uploads": _Terms(
        lambda limits: limits.uploads_per_account,
        lambda limits: limits.uploads,
        means="uploads at once",
        helps="send fewer chunks at a time",
        retry_after_s=10,
    ),
    "downloads": _Terms(
        lambda limits: limits.downloads_per_account,
        lambda limits: limits.downloads,
        means="downloads at once",
        helps="download fewer images at a time",
        retry_after_s=10,
    ),
    "waiting-reads": _Terms(
        lambda limits: limits.waiting_reads_per_account,
        lambda limits: limits.waiting_reads,
        means="long reads that wait for their turn",
        helps="ask for fewer at a time",
        retry_after_s=5,
    ),
    "streams": _Terms(
        lambda limits: limits.streams_per_account,
        lambda limits: limits.streams,
        means="long answers under way",
        helps="read one to its end",
        retry_after_s=10,
    ),
    "answer-bytes": _Terms(
        lambda limits: limits.answer_bytes_per_account,
        lambda limits: limits.answer_bytes,
        means="bytes of answers that were not read yet",
        helps="read them",
        retry_after_s=5,
    ),
    "answer-bytes-without-login": _Terms(
        lambda limits: limits.answer_bytes_without_login_per_address,
        lambda limits: limits.answer_bytes_without_login,
        means="bytes of answers without a login that were not read yet",
        helps="read them",
        retry_after_s=5,
        who="address",
    ),
}


class TooMuch(Expected):
    """The account, or all accounts together, have as much of a resource as they may have."""

    def __init__(
        self, resource: Resource | Rate, limit: int, retry_after_s: int, message: str
    ) -> None:
        super().__init__(message)
        self.resource = resource
        self.limit = limit
        self.retry_after_s = retry_after_s


class Taken:
    """A part of a budget, which is given back once."""

    __slots__ = ("_give_back",)

    def __init__(self, give_back: Callable[[], None]) -> None:
        self._give_back: Callable[[], None] | None = give_back

    def give_back(self) -> None:
        """Give it back, unless that has been done."""
        if self._give_back is not None:
            self._give_back()
            self._give_back = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.give_back()


class Admission:
    """Gives accounts their parts of the service. For the thread of one event loop."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._all: Counter[Resource] = Counter()
        self._accounts: dict[str, Counter[Resource]] = {}
        """What each account has; one that has nothing is missing."""
        self.refused = REFUSED.counter()
        for resource in (*RESOURCES, *RATES):  # Prometheus sees no increase in what begins at one
            self.refused.labels(resource)

    def take(self, account: str, resource: Resource, n: int = 1) -> Taken:
        """Give the account so much of a resource, until it is given back. Raise `TooMuch`."""
        if not self.has_room(account, resource, n):
            raise self.refusal(account, resource, n)
        return self.charge(account, resource, n)

    def charge(self, account: str, resource: Resource, n: int) -> Taken:
        """Count what the account has anyhow, until it is given back."""
        if not n:
            return Taken(lambda: None)
        budget = self._accounts.setdefault(account, Counter())
        budget[resource] += n
        self._all[resource] += n
        return Taken(lambda: self._give_back(account, resource, n))

    def note_refusal(self, resource: str) -> None:
        """Count a request that was refused, also by a quota of the ledger."""
        self.refused.labels(resource).inc()

    def used(self) -> Iterable[tuple[Resource, int]]:
        """Yield what all accounts have of each resource."""
        return ((resource, self._all[resource]) for resource in RESOURCES)

    def limits_of(self, resource: Resource) -> tuple[int, int]:
        """Return how much an account, and all together, may have of it; 0 is no limit."""
        terms = _TERMS[resource]
        return terms.of_account(self._limits), terms.of_all(self._limits)

    def used_by(self, account: str, resource: Resource) -> int:
        return self._accounts.get(account, Counter())[resource]

    @property
    def accounts(self) -> int:
        """How many accounts have anything."""
        return len(self._accounts)

    def has_room(self, account: str, resource: Resource, n: int) -> bool:
        """Return whether the account may have so much more of a resource."""
        return not (self._is_over(account, resource, n) or self._are_over(resource, n))

    def refusal(self, account: str, resource: Resource, n: int) -> TooMuch:
        """Count and return the refusal of what there is no room for."""
        terms = _TERMS[resource]
        limit, of_all = self.limits_of(resource)
        message = (
            f"the {terms.who} has {limit:,} {terms.means}, and may have no more: {terms.helps}"
        )
        if not self._is_over(account, resource, n):
            limit = of_all
            message = f"the service has {limit:,} {terms.means}, and takes no more"
        return self.refuse(resource, limit, terms.retry_after_s, message)

    def refuse(
        self, resource: Resource | Rate, limit: int, retry_after_s: int, message: str
    ) -> TooMuch:
        """Count a refusal, and return it."""
        self.note_refusal(resource)
        return TooMuch(resource, limit, retry_after_s, f"{message}; try again in {retry_after_s} s")

    def _is_over(self, account: str, resource: Resource, n: int) -> bool:
        limit, _ = self.limits_of(resource)
        return bool(limit) and self.used_by(account, resource) + n > limit

    def _are_over(self, resource: Resource, n: int) -> bool:
        _, limit = self.limits_of(resource)
        return bool(limit) and self._all[resource] + n > limit

    def _give_back(self, account: str, resource: Resource, n: int) -> None:
        budget = self._accounts[account]
        budget[resource] -= n
        self._all[resource] -= n
        if not any(budget.values()):
            del self._accounts[account]
