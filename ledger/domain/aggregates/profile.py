"""An account's profile, as far as decisions rest on it; personal fields are in a plain table."""

from msgspec import Struct

from ledger.domain.events import CloneNaming, ProfileEvent, Recorded


class Profile(Struct, frozen=True, gc=False):
    """`clone_naming` says what a clone is called that is given no name."""

    owner: str
    clone_naming: CloneNaming = "NONE"


def evolve(profile: Profile | None, owner: str, recorded: Recorded[ProfileEvent]) -> Profile:
    """The profile after one more event of its stream; there is none that begins it."""
    naming = recorded.event.clone_naming
    if naming is not None:
        return Profile(owner, naming)
    return profile or Profile(owner)
