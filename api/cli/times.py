"""Durations and moments on the command line, as ISO 8601 has them."""

from datetime import UTC, datetime, timedelta

import click

from api.text import iso8601 as moments


def duration(text: str) -> timedelta:
    """Read a duration, as a type of click's."""
    found = moments.duration(text)
    if found is None:
        raise click.BadParameter(
            f"{text!r} is no duration such as P3D, PT12H or P1DT6H, or is too long"
            " (years and months have no fixed length)"
        )
    return found


def moment(text: str) -> datetime:
    """Read a time with its offset, as a type of click's: without, it would be this machine's."""
    found = moments.moment(text)
    if found is None:
        raise click.BadParameter(f"{text!r} is no time with its offset, such as {moments.EXAMPLE}")
    return found


def moment_text(moment: datetime) -> str:
    """To the second, in UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
