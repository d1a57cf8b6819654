"""Why a client gets no answer; each error says what to do next."""


class ClientError(Exception):
    """Printed in one line."""


class NotLoggedIn(ClientError):
    """There is no saved login."""

    def __init__(self) -> None:
        super().__init__(
            "not logged in: run `job-ledger login URL --email EMAIL`,"
            " or set JOB_LEDGER_URL and JOB_LEDGER_TOKEN"
        )


class LoginEnded(ClientError):
    """The token is refused."""

    def __init__(self, url: str) -> None:
        super().__init__(
            f"{url} refuses the token, which was revoked or is unknown:"
            f" run `job-ledger login {url} --email EMAIL`"
        )


class Unreachable(ClientError):
    """No answer came."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(f"{url} cannot be reached ({why}): is the service running there?")


class NotTrusted(ClientError):
    """The certificate does not prove that the service is the one at this URL."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(
            f"the certificate of {url} is not trusted ({why}): is it https there, and is its"
            " authority known to this machine (SSL_CERT_FILE)?"
        )


class Unintelligible(ClientError):
    """What answers is not the service, or not one that this command understands."""

    def __init__(self, why: str) -> None:
        super().__init__(f"this is not an answer of Job Ledger ({why}): is the URL right?")


class UnknownJob(ClientError):
    """The job has not come into being while it was waited for."""

    def __init__(self, uuid: str) -> None:
        super().__init__(
            f"job {uuid} does not exist: it was never created, or its history has been discarded"
        )


class Refused(ClientError):
    """The service refused the request; `retry_after_s` is the pause that it asks for, or 0."""

    def __init__(self, status: int, reason: str, retry_after_s: float = 0.0) -> None:
        super().__init__(f"{reason}{_ADVICE.get(status, '')}")
        self.status = status
        self.retry_after_s = retry_after_s


_ADVICE = {
    403: ": use another account, or ask an operator for another role",
    404: " (it may be deleted, or a job whose history has been discarded)",
    429: ": wait a little, then try again",
    503: ": nothing was changed; try again in a moment",
}
