"""Why a client gets no answer; each error says what to do next."""

from pathlib import Path


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
    """No answer came; `sent` tells whether the service may have received the request."""

    def __init__(self, url: str, why: str, *, sent: bool = False) -> None:
        super().__init__(f"{url} cannot be reached ({why}): is the service running there?")
        self.sent = sent


class Late(Unreachable):
    """No answer came in time, though the connection may seem alive."""

    def __init__(self, url: str, seconds: float, *, sent: bool) -> None:
        super().__init__(url, f"it has not answered for {seconds:g} s", sent=sent)


class Redirected(ClientError):
    """The service names another address; no token, password or image is sent there."""

    def __init__(self, url: str, status: int, location: str) -> None:
        super().__init__(
            f"{url} answers with a redirect ({status}) to {location or 'nowhere'}, which is not"
            " followed: if that is the service, log in there"
        )


class NotTrusted(ClientError):
    """The certificate does not prove that the service is the one at this URL."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(
            f"the certificate of {url} is not trusted ({why}): is it https there, and is its"
            " authority known to this machine (SSL_CERT_FILE)?"
        )


class Unintelligible(ClientError):
    """The answer does not come from the service, or from one that this command understands."""

    def __init__(self, why: str) -> None:
        super().__init__(f"this is not an answer of Job Ledger ({why}): is the URL right?")


class UnknownJob(ClientError):
    """The job has not come into being while it was waited for."""

    def __init__(self, uuid: str) -> None:
        super().__init__(
            f"job {uuid} does not exist: it was never created, or its history has been discarded"
        )


class Refused(ClientError):
    """The service refused the request.

    `outcome` is what it says of a change, and empty if it says nothing; `retry_after_s` is the
    pause that it asks for, or 0; `advice` follows the reason.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        retry_after_s: float,
        outcome: str,
        advice: str,
    ) -> None:
        super().__init__(f"{reason}{advice}")
        self.status = status
        self.outcome = outcome
        self.retry_after_s = retry_after_s

    @property
    def may_pass(self) -> bool:
        """Whether the same request may soon succeed."""
        return self.status in _TOO_SOON or (self.status >= _FAILED and self.status not in _LASTING)


class Undecided(ClientError):
    """It is unknown whether a change was made: the answer was lost, or says so."""

    def __init__(self, last: ClientError) -> None:
        super().__init__(f"{last}; it may have been done all the same: look before you repeat it")


class Mismatch(ClientError):
    """The transferred bytes differ, or may differ, from the original."""


class ForeignPart(Mismatch):
    """The part of another download has the name."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(
            f"{path} is not a part of this download ({why}): choose another name, or remove it"
        )


class PartInUse(Mismatch):
    """Another download writes to the part."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"another download is writing to {path}: wait for it, or choose another name"
        )


class WrongAnswer(Mismatch):
    """The answer is not what was requested; the service or a proxy may be to blame."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"the answer is not what was asked for: {why}. What came before is kept; a proxy may be"
            " to blame, or the image is being changed"
        )


class ImageChanged(Mismatch):
    """The image is not the one any more that was downloaded."""

    def __init__(self, drive: str) -> None:
        super().__init__(
            f"the image of drive {drive} changed while it was downloaded: download it again"
        )


class DownloadDiffers(Mismatch):
    """The digest of what was downloaded is not that of the image."""

    def __init__(self, part: Path, drive: str) -> None:
        super().__init__(
            f"{part} has another SHA-256 than the image of drive {drive}: it was damaged on its way"
            " or on a disk. Remove it to download the image again"
        )


class FileChanged(Mismatch):
    """The file that is uploaded changed, or was replaced."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} changed while it was uploaded, and nothing more is sent: upload it as a new"
            " drive, and delete this one"
        )


class FileMisfit(Mismatch):
    """The upload was begun with a file of another size."""

    def __init__(self, path: Path, size: int, drive: str, expected: int) -> None:
        super().__init__(
            f"the upload to drive {drive} was begun with another file: {path} has {size} bytes,"
            f" the drive {expected}"
        )


class ChunkDiffers(Mismatch):
    """A chunk that the service has is not that of the file."""

    def __init__(self, path: Path, drive: str, number: int) -> None:
        super().__init__(
            f"chunk {number} of drive {drive} is not that of {path}, and nothing more is sent: the"
            " upload was begun with another file, or damaged. Upload it as a new drive"
        )


class ChunkUnknown(Mismatch):
    """The service has a chunk, but cannot say which bytes it has."""

    def __init__(self, drive: str, number: int) -> None:
        super().__init__(
            f"chunk {number} of drive {drive} is there, but the service gives no digest to compare"
            " it by, and nothing more is sent: upload the file as a new drive"
        )


_TOO_SOON = frozenset({408, 425, 429})
_FAILED = 500
_LASTING = frozenset({501, 505, 507})
"""Not implemented, another version of HTTP, and no room: more than a moment changes them."""
_MISSING = {
    "jobs": " (it never was there, or its history has been discarded)",
    **dict.fromkeys(("drives", "libdrives", "servers", "tags"), " (it may be deleted)"),
}


def advice(status: int, path: str, refusal: str) -> str:
    """Return what helps after an answer with this status, where it fits; "" otherwise.

    `path` is below the API's root; `refusal` is what the service says of a 403.
    """
    kind, _, rest = path.strip("/").partition("/")
    match status:
        case 403 if refusal == "permission":
            return ": use another account, or ask an operator for another role"
        case 404 if "upload" not in rest:  # where a chunk may be missing, too
            return _MISSING.get(kind, "")
        case 429:
            return ": wait a little, then try again"
        case _:
            return ""
