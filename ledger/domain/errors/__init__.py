"""Expected errors: each is named for what happened, and words itself.

A `Refusal` says what the ledger will not do, and changes nothing. `StoreFailed` says what the store
cannot do. `api` alone maps errors to HTTP statuses. What should be impossible is an assertion.
"""


class Expected(Exception):
    """An error that is no fault of the program; its text is one line."""


class Misconfigured(Expected):
    """The configuration, or what it refers to, cannot be used until somebody changes it."""


class Refusal(Expected):
    """A command was refused; nothing was recorded.

    `point` names the field of the request that is at fault, if there is one. `needs_pool`: another
    pool would have helped, so nothing is refused like this before all pools are known.
    """

    point: str | None = None
    needs_pool = False

    def __init__(self, message: str, *, point: str | None = None) -> None:
        super().__init__(message)
        if point is not None:
            self.point = point


class NotFound(Refusal):
    """The account has no such thing; things of other accounts are treated the same."""


class NothingWithUuid(NotFound):
    """The account has nothing of this kind with the uuid."""

    thing: str

    def __init__(self, uuid: str) -> None:
        super().__init__(f"no {self.thing} with uuid {uuid}")
        self.uuid = uuid


class WrongState(Refusal):
    """The thing exists, but its state does not allow this.

    `passes_soon`: the state ends by itself in a moment. Clients need not see it: a request waits
    for its end.
    """

    passes_soon = False


class Invalid(Refusal):
    """The command asks for something that can never be."""


class AlreadyExists(Invalid):
    """The uuid of something new is taken."""

    def __init__(self, kind: str, uuid: str) -> None:
        super().__init__(f"{kind} {uuid} exists already")
