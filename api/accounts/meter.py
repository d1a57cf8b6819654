"""Counters of a process's logins."""

from typing import Literal, get_args

from api.accounts.throttle import PlaceClass
from ledger.store.metrics import SECONDS, Metric

LoginClass = PlaceClass | Literal["token"]
LoginResult = Literal["right", "wrong", "delayed", "dropped"]

LOGINS = Metric(
    *("login", "counter", ("class", "result")),
    "Logins that were looked up: passwords by where they came from, and tokens.",
)
LOGIN_QUEUE = Metric("login_queue", "gauge", (), "Passwords that wait to be hashed.")
LOGIN_WAIT_SECONDS = Metric(
    "login_wait_seconds", "histogram", (), "How long passwords waited to be hashed."
)


class LoginMeter:
    """Counts logins; what a cache finds is not counted."""

    def __init__(self) -> None:
        self.wait_seconds = LOGIN_WAIT_SECONDS.histogram(SECONDS)
        self.logins = LOGINS.counter()
        for login_class in ("known", "new", "failing", "token"):
            for result in get_args(LoginResult):
                self.logins.labels(login_class, result)

    def note(self, login_class: LoginClass, result: LoginResult) -> None:
        self.logins.labels(login_class, result).inc()
