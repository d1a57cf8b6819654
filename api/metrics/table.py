"""All metrics there are: the registry, the documentation and their tests are made of this table."""

from typing import Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram"]

PREFIX = "job_ledger_"


class Metric(NamedTuple):
    """A metric without its prefix; a counter's samples also end in `_total`."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    means: str


METRICS = (
    Metric(
        *("requests", "counter", ("method", "route", "status")),
        "Requests that were answered, by the template of their URL.",
    ),
    Metric(
        *("request_seconds", "histogram", ("method", "route")),
        "From the head of a request to that of its answer; websockets and long polls are left out.",
    ),
    Metric(
        *("commands", "counter", ("command", "outcome")),
        "Commands that were decided: recorded, or by which refusal not.",
    ),
    Metric("batch_commands", "histogram", (), "Commands that were recorded in one transaction."),
    Metric("commit_seconds", "histogram", (), "How long it took until a batch was on disk."),
    Metric("position", "gauge", (), "The ledger's newest position that this process knows of."),
    Metric(
        *("reader_lag_events", "gauge", ("reader",)),
        "Events that a reader has not seen yet: feed, or checkpoint.",
    ),
    Metric("jobs", "gauge", ("state",), "Jobs that are shown, of all accounts."),
    Metric("copied_bytes", "counter", (), "Data bytes that this process has copied; no holes."),
    Metric("pool_free_bytes", "gauge", ("pool",), "Room in a pool of this process."),
    Metric("parked_streams", "gauge", (), "Streams that could not be read, and wait for somebody."),
    Metric(
        *("retention_overdue_seconds", "gauge", ()),
        "How long the oldest tree of jobs should have been discarded already; 0: none is due.",
    ),
    Metric("websocket_clients", "gauge", (), "Websockets that are open."),
)
