"""Durations and moments on the command line, as ISO 8601 has them."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click

_DURATION = re.compile(
    r"P(?=.)(?:([0-9]+)W)?(?:([0-9]+)D)?(?:T(?=.)(?:([0-9]+)H)?(?:([0-9]+)M)?(?:([0-9]+)S)?)?"
)


class _Duration(click.ParamType[timedelta]):
    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        if isinstance(value, timedelta):
            return value
        found = _DURATION.fullmatch(value)
        if found is None:
            self.fail(
                f"{value!r} is no duration such as P3D, PT12H or P1DT6H"
                " (years and months have no fixed length)",
                param,
                ctx,
            )
        weeks, days, hours, minutes, seconds = (int(number or 0) for number in found.groups())
        try:
            return timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
        except OverflowError:
            self.fail(f"{value!r} is too long", param, ctx)


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


def duration_text(duration: timedelta) -> str:
    """As it could be given."""
    minutes, seconds = divmod(duration.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days = f"{duration.days}D" if duration.days else ""
    parts = ((hours, "H"), (minutes, "M"), (seconds, "S"))
    time = "".join(f"{number}{unit}" for number, unit in parts if number)
    return f"P{days}{'T' if time else ''}{time}" if days or time else "PT0S"


def moment_text(moment: datetime) -> str:
    """To the second, in UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
