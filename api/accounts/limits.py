"""How many logins may be wrong, and how many may wait."""

from typing import Annotated

from msgspec import Meta, Struct

Count = Annotated[int, Meta(ge=0)]


class LoginLimits(Struct, frozen=True, kw_only=True):
    """The limits of one process; 0 turns one off."""

    wrong_at_known_place: Count = 10
    """Wrong passwords at a known place within five minutes; then it counts as unknown."""
    wrong_at_address: Count = 5
    """Wrong passwords from an unknown address before the next has to wait."""
    login_delay: Annotated[int, Meta(ge=0, le=3600)] = 900
    """The longest wait, in seconds, of an unknown address."""
    logins_waiting: Count = 128
    """Passwords that wait to be hashed."""
    logins_waiting_at_address: Count = 2
    """Passwords from one unknown address that wait to be hashed."""
    unknown_tokens: Count = 100
    """Unknown tokens from one address in a minute."""


DEFAULT_LIMITS = LoginLimits()
