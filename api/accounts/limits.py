"""How many wrong passwords are allowed, and how many logins may wait."""

from typing import Annotated

from msgspec import Meta, Struct


def number(description: str) -> Meta:
    """Describe a limit of how many; 0 is none."""
    return Meta(ge=0, description=description)


class LoginLimits(Struct, frozen=True, kw_only=True, rename="kebab"):
    """The limits of one process. 0 switches a limit off."""

    wrong_at_known_place: Annotated[
        int, number("wrong passwords at a known place in five minutes; then it is unknown")
    ] = 10
    wrong_at_address: Annotated[
        int, number("wrong passwords from an unknown address before the next waits")
    ] = 5
    login_delay: Annotated[
        int, Meta(ge=0, le=3600, description="the longest wait of an unknown address, in seconds")
    ] = 900
    logins_waiting: Annotated[int, number("passwords that wait to be hashed")] = 128
    logins_waiting_at_address: Annotated[
        int, number("passwords from one unknown address that wait to be hashed")
    ] = 2
    unknown_tokens: Annotated[int, number("unknown tokens from one address in a minute")] = 100
    tokens_per_account: Annotated[int, number("tokens of one account")] = 200


DEFAULT_LIMITS = LoginLimits()
