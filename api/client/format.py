"""Numbers, times and texts for a terminal."""

from collections.abc import Iterable, Mapping

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
NAME_LENGTH_MAX = 200


def short(text: str) -> str:
    """Return the text, cut to the length of a name."""
    return text if len(text) <= NAME_LENGTH_MAX else f"{text[: NAME_LENGTH_MAX - 1]}…"


def size(count: float) -> str:
    """Bytes: 512 B, 1.5 MiB, 120 GiB."""
    unit = 0
    while count >= 1024 and unit < len(_UNITS) - 1:  # noqa: PLR2004 - the units' step
        count /= 1024
        unit += 1
    digits = 1 if unit and count < 100 else 0  # noqa: PLR2004 - three digits at most
    return f"{count:.{digits}f} {_UNITS[unit]}"


def seconds(count: float) -> str:
    """1 h 5 min, 12 s."""
    whole = max(0, round(count))
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


def time(iso: str) -> str:
    """To the second, in UTC, as all times of the API are."""
    return iso[:19].replace("T", " ")


def in_words(fields: Mapping[str, object]) -> list[str]:
    """Return `name: value` of each field that has a value, as people write it."""
    return [
        f"{_plain(name)}: {_value(value)}" for name, value in fields.items() if value is not None
    ]


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _value(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case dict():
            return _joined(
                ", ",
                (
                    f"{_plain(str(name))} {_value(each)}"
                    for name, each in value.items()
                    if each is not None
                ),
            )
        case list() | tuple():
            return _joined("; ", map(_value, value))
        case _:
            return str(value)


def _joined(between: str, texts: Iterable[str]) -> str:
    return between.join(texts) or "none"
