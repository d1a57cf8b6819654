"""What keeps a client from getting what it asked for; each says what to do next."""


class ClientError(Exception):
    """Told in one line."""


class NotLoggedIn(ClientError):
    """No login is kept."""

    def __init__(self) -> None:
        super().__init__(
            "not logged in: run `job-ledger login URL --email EMAIL`,"
            " or set JOB_LEDGER_URL and JOB_LEDGER_TOKEN"
        )


class LoginEnded(ClientError):
    """The token is refused."""

    def __init__(self, url: str) -> None:
        super().__init__(
            f"{url} refuses the token, which was removed or never was one:"
            f" run `job-ledger login {url} --email EMAIL`"
        )


class Unreachable(ClientError):
    """No answer came."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(f"{url} cannot be reached ({why}): is the service running there?")


class NotTrusted(ClientError):
    """There is no encrypted connection to whom the certificate names."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(
            f"the certificate of {url} is not trusted ({why}): is it https there, and is its"
            " authority known to this machine (SSL_CERT_FILE)?"
        )


class Refused(ClientError):
    """The service said no."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"{said}{_ADVICE.get(status, '')}")
        self.status = status


_ADVICE = {
    403: ": another account may, or an operator can give this one another role",
    404: " (what is deleted, and jobs whose history is over, are found no more)",
    429: ": wait a little, then try again",
    503: ": nothing was changed; try again in a moment",
}
