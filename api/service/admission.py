"""Admission: how much of the service accounts use at one moment, and how much they may use.

Where nobody has logged in, an address stands for the account.

Each account spends its own budget, also when staff look at another account, so that whoever takes
too much reaches their own limit. The total is limited as well, to protect the machine.
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
Rate = Literal["requests", "registrations", "cancels", "labels", "reads"]
"""What is not held for a while, but counted in time."""
RATES: tuple[Rate, ...] = get_args(Rate)

BUDGET_USED = Metric(
    *("budget_used", "gauge", ("resource",)),
    "How much of a resource all accounts use in this process.",
)
REFUSED = Metric(
    *("refused", "counter", ("resource",)),
    "Requests that were refused because of a limit on their account, or on all accounts.",
)


class _Words(NamedTuple):
    """What a refusal says of a resource; its limits have its name (`Limits.of`)."""

    means: str
    helps: str
    """What a client can do to get another one."""
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
    """The account, or all accounts together, have reached the limit of a resource."""

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
    """Keeps accounts within their budgets. For the thread of one event loop."""

    def __init__(self, limits: Limits) -> None:
        self._limits = {
            resource: (limits.of(resource, _WORDS[resource].of), limits.of_all(resource))
            for resource in RESOURCES
        }
        self._all: Counter[Resource] = Counter()
        self._accounts: dict[str, Counter[Resource]] = {}
        """What each account uses; accounts that use nothing are left out."""
        self.refused = REFUSED.counter()
        for resource in (*RESOURCES, *RATES):  # Prometheus sees no increase in what begins at one
            self.refused.labels(resource)

    def take(self, account: str, resource: Resource, n: int = 1) -> Taken:
        """Take `n` of a resource for the account, until they are given back. Raise `TooMuch`."""
        if not self.has_room(account, resource, n):
            raise self.refusal(account, resource, n)
        return self.charge(account, resource, n)

    def charge(self, account: str, resource: Resource, n: int) -> Taken:
        """Take `n` of a resource without asking whether there is room."""
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
        """Yield how much of each resource all accounts use."""
        return ((resource, self._all[resource]) for resource in RESOURCES)

    def limits_of(self, resource: Resource) -> tuple[int, int]:
        """Return how much an account, and all together, may have of it; 0 is no limit."""
        return self._limits[resource]

    def used_by(self, account: str, resource: Resource) -> int:
        return self._accounts.get(account, Counter())[resource]

    @property
    def accounts(self) -> int:
        """How many accounts use anything."""
        return len(self._accounts)

    def has_room(self, account: str, resource: Resource, n: int) -> bool:
        """Return whether the account may take `n` more of a resource."""
        return not (self._is_over(account, resource, n) or self._are_over(resource, n))

    def refusal(self, account: str, resource: Resource, n: int) -> TooMuch:
        """Count and return the refusal of `n` for which there is no room."""
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
