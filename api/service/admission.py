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


class _Words(NamedTuple):
    """What a refusal says of a resource; its limits have its name (`Limits.of`)."""

    means: str
    helps: str
    """What a client can do to have another one."""
    retry_after_s: int
    of: Literal["account", "address"] = "account"


_WORDS: Mapping[Resource, _Words] = {
    "websockets": _Words("websockets", "close one", 10),
    "long-polls": _Words("requests that wait for a change", "ask without wait", 10),
    "uploads": _Words("uploads at once", "send fewer chunks at a time", 10),
    "downloads": _Words("downloads at once", "download fewer images at a time", 10),
    "waiting-reads": _Words("long reads that wait for their turn", "ask for fewer at a time", 5),
    "streams": _Words("long answers under way", "read one to its end", 10),
    "answer-bytes": _Words("bytes of answers that were not read yet", "read them", 5),
    "answer-bytes-without-login": _Words(
        "bytes of answers without a login that were not read yet", "read them", 5, of="address"
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
        self._limits = {
            resource: (limits.of(resource, _WORDS[resource].of), limits.of_all(resource))
            for resource in RESOURCES
        }
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
        return self._limits[resource]

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
        words = _WORDS[resource]
        limit, of_all = self.limits_of(resource)
        message = f"the {words.of} has {limit:,} {words.means}, and may have no more: {words.helps}"
        if not self._is_over(account, resource, n):
            limit = of_all
            message = f"the service has {limit:,} {words.means}, and takes no more"
        return self.refuse(resource, limit, words.retry_after_s, message)

    def refuse(
        self, resource: Resource | Rate, limit: int, retry_after_s: int, message: str
    ) -> TooMuch:
        """Count a refusal, and return it."""
        self.note_refusal(resource)
        return TooMuch(resource, limit, retry_after_s, f"{message}; try again in {retry_after_s} s")

    def _is_over(self, account: str, resource: Resource, n: int) -> bool:
        limit, _ = self._limits[resource]
        return bool(limit) and self.used_by(account, resource) + n > limit

    def _are_over(self, resource: Resource, n: int) -> bool:
        _, limit = self._limits[resource]
        return bool(limit) and self._all[resource] + n > limit

    def _give_back(self, account: str, resource: Resource, n: int) -> None:
        budget = self._accounts[account]
        budget[resource] -= n
        self._all[resource] -= n
        if not any(budget.values()):
            del self._accounts[account]
