"""The part of an account's profile that decisions use; personal fields are in a plain table."""

from msgspec import Struct

from ledger.domain.events import Recorded
from ledger.domain.events.profiles import CloneNaming, ProfileEvent


class Profile(Struct, frozen=True, gc=False):
    """`clone_naming` chooses the names of clones that are given none."""

    owner: str
    clone_naming: CloneNaming = "NONE"


def evolve(profile: Profile | None, owner: str, recorded: Recorded[ProfileEvent]) -> Profile:
    """Return the profile after one more event of its stream; no particular event begins it."""
    naming = recorded.event.clone_naming
    if naming is not None:
        return Profile(owner, naming)
    return profile or Profile(owner)
