"""Durations and moments on the command line, as ISO 8601 has them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import click

from api.moments import duration


class _Duration(click.ParamType[timedelta]):
    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        if isinstance(value, timedelta):
            return value
        found = duration(value)
        if found is None:
            self.fail(
                f"{value!r} is no duration such as P3D, PT12H or P1DT6H, or is too long"
                " (years and months have no fixed length)",
                param,
                ctx,
            )
        return found


class _Moment(click.ParamType[datetime]):
    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        if isinstance(value, datetime):
            return value
        moment = _moment(value)
        if moment is None:
            self.fail(
                f"{value!r} is no time with its offset, such as 2026-04-17T08:15:30Z", param, ctx
            )
        return moment


def _moment(text: str) -> datetime | None:
    """None for what is none, and for one without an offset: it would be this machine's own."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


DURATION = _Duration()
MOMENT = _Moment()


def moment_text(moment: datetime) -> str:
    """To the second, in UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
