"""What the models share: streams, and decisions that go by their versions."""

from collections.abc import Callable, Iterator, Sequence

from tests.models.explorer import Part, World, either

Decision = Callable[[], Sequence[str]]
"""Returns the events that follow from the state as it is now."""


class Ledger(World):
    """Streams of events. A decision is read in one step and committed in another.

    In between others may commit. It is decided again if its stream is not as it was read; with
    `checks_versions` off, it is not; with `gives_up` it is refused.
    """

    def __init__(self, *, checks_versions: bool = True, gives_up: bool = False) -> None:
        self.checks_versions, self.gives_up = checks_versions, gives_up
        self.is_refused = False
        self.losses = 0
        """How many requests and answers may be lost."""
        self.streams: dict[str, list[str]] = {}

    def stream(self, name: str) -> list[str]:
        return self.streams.setdefault(name, [])

    def decide(
        self, who: str, name: str, decision: Decision, also: Callable[[], bool] = lambda: True
    ) -> Part:
        """Record what the decision says; `also` is a statement of the same transaction.

        Return whether it was recorded: if the statement finds nothing, nothing is.
        """
        while not self.is_refused:
            yield f"{who} reads {name}"
            version, events = len(self.stream(name)), tuple(decision())
            if not events:
                return False
            yield f"{who} commits {', '.join(events)}"
            if len(self.stream(name)) != version and self.checks_versions:
                self.is_refused = self.gives_up
                continue
            if not also():
                return False
            self.stream(name).extend(events)
            return True
        return False

    def is_lost(self, name: str) -> Part:
        """Let chance decide whether a request or an answer is lost."""
        if not self.losses:
            return False
        is_lost = (yield either(name, "it arrives")) == name and self.losses > 0
        self.losses -= is_lost
        return is_lost


def among(events: Sequence[str], kinds: Sequence[str]) -> Iterator[str]:
    return (event for event in events if event.partition(" ")[0] in kinds)
