"""Commands about accounts' profiles."""

from msgspec import Struct

from ledger.domain.events.profiles import CloneNaming


class EditProfile(Struct, frozen=True, gc=False):
    """Change an account's profile. `personal` is kept in a plain table, never in the ledger."""

    owner: str
    personal: dict[str, str]
    clone_naming: CloneNaming | None = None
