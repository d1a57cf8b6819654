"""What happens to an account's profile."""

from typing import Literal

from ledger.domain.events.values import Closed

CloneNaming = Literal["NONE", "COUNTER", "DATE", "TIMESTAMP"]


class ProfileChanged(Closed, frozen=True):
    """These fields of an account's profile have new values.

    The values are personal and live in a plain table, except `clone_naming`, which decisions rest
    on; None means that it is unchanged.
    """

    fields: tuple[str, ...]
    clone_naming: CloneNaming | None = None


ProfileEvent = ProfileChanged


def profile_stream(account: str) -> str:
    return f"profile-{account}"
