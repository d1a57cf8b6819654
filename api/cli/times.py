"""Durations and times on the command line, in ISO 8601."""

from datetime import UTC, datetime, timedelta

import click

from api.text import iso8601 as moments


def duration(text: str) -> timedelta:
    """Read a duration, as a click type."""
    read = moments.duration(text)
    if read is None:
        raise click.BadParameter(
            f"{text!r} is not a duration such as P3D, PT12H or P1DT6H, or is too long"
            " (years and months have no fixed length)"
        )
    return read


def moment(text: str) -> datetime:
    """Read a time, as a click type. It needs an offset, as this machine's may be another."""
    read = moments.moment(text)
    if read is None:
        raise click.BadParameter(
            f"{text!r} is not a time with an offset, such as {moments.EXAMPLE}"
        )
    return read


def moment_text(moment: datetime) -> str:
    """Return the time to the second, in UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
