"""What a process counts of its own work, for monitoring."""

from typing import Literal, NamedTuple, get_args

from prometheus_client import Counter, Histogram

from ledger.domain.commands import Command

PREFIX = "job_ledger_"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds for what should take a moment."""
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)

Kind = Literal["counter", "gauge", "histogram"]


class Metric(NamedTuple):
    """A metric without its prefix; a counter's samples also end in `_total`."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    means: str

    def counter(self) -> Counter:
        return Counter(PREFIX + self.name, self.means, self.labels, registry=None)

    def histogram(self, bounds: tuple[float, ...]) -> Histogram:
        return Histogram(PREFIX + self.name, self.means, self.labels, buckets=bounds, registry=None)


COMMANDS = Metric(
    *("commands", "counter", ("command", "outcome")),
    "Commands that were decided: recorded, or by which refusal not.",
)
BATCH_COMMANDS = Metric(
    "batch_commands", "histogram", (), "Commands that were recorded in one transaction."
)
COMMIT_SECONDS = Metric(
    "commit_seconds", "histogram", (), "How long it took until a batch was on disk."
)


class Meter:
    """Counts what the writer does."""

    def __init__(self) -> None:
        self.commands = COMMANDS.counter()
        self.batch_commands = BATCH_COMMANDS.histogram(BATCH_SIZES)
        self.commit_seconds = COMMIT_SECONDS.histogram(SECONDS)
        for command in get_args(Command):  # Prometheus sees no increase in what begins at one
            self.commands.labels(command.__name__, "recorded")
