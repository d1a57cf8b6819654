"""The table of all metrics, from which the registry, the documentation and tests are made."""

from api.accounts.meter import LOGIN_QUEUE, LOGIN_WAIT_SECONDS, LOGINS
from api.service.admission import BUDGET_USED, REFUSED
from ledger.store.metrics import BATCH_COMMANDS, COMMANDS, COMMIT_SECONDS, Metric

REQUESTS = Metric(
    *("requests", "counter", ("method", "route", "status")),
    "Requests that were answered, by the template of their URL.",
)
REQUEST_SECONDS = Metric(
    *("request_seconds", "histogram", ("method", "route")),
    "From the head of a request to that of its answer; websockets and long polls are left out.",
)
OUTCOMES = Metric(
    *("outcomes", "counter", ("outcome",)),
    "Changes whose requests failed, or could not be shown, by what was known of them.",
)
METRICS = (
    REQUESTS,
    REQUEST_SECONDS,
    OUTCOMES,
    COMMANDS,
    BATCH_COMMANDS,
    COMMIT_SECONDS,
    LOGINS,
    LOGIN_QUEUE,
    LOGIN_WAIT_SECONDS,
    BUDGET_USED,
    REFUSED,
    Metric("position", "gauge", (), "The ledger's newest position that this process knows of."),
    Metric(
        *("clock_offset_seconds", "gauge", ()),
        "By how much at least this machine's clock is ahead of the store's, by which events are"
        " stamped.",
    ),
    Metric(
        *("reader_lag_events", "gauge", ("reader",)),
        "Events that a reader has not seen yet: feed, or checkpoint.",
    ),
    Metric("jobs", "gauge", ("state",), "Jobs that are shown, of all accounts."),
    Metric(
        *("producer_jobs", "gauge", ("standing",)),
        "Jobs of producers among them that run, are lost, or ended in each way.",
    ),
    Metric("copied_bytes", "counter", (), "Data bytes that this process has copied; no holes."),
    Metric(
        *("disk_state", "gauge", ("state",)),
        "1 for the state of the disk of a ledger in SQLite: roomy, or low or full.",
    ),
    Metric("disk_free_bytes", "gauge", (), "Room on the disk of a ledger in SQLite."),
    Metric("pool_free_bytes", "gauge", ("pool",), "Room in a pool of this process."),
    Metric(
        "parked_streams", "gauge", (), "Streams that could not be read, and wait for an operator."
    ),
    Metric(
        *("retention_overdue_seconds", "gauge", ()),
        "How long the oldest tree of jobs should have been discarded already; 0: none is due.",
    ),
    Metric("websocket_clients", "gauge", (), "Websockets that are open."),
)
