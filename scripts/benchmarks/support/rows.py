"""Results of benchmarks: a number, its floor, and whether they are close enough."""

import math
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

MISSED = "misses its aim"


class Row(Struct, frozen=True, kw_only=True):
    """One line of the table. A higher `ratio` is better; without an aim, `at_least` is None."""

    name: str
    value: float
    unit: str
    floor: float
    ratio: float
    at_least: float | None
    p50_ms: float | None
    p99_ms: float | None
    note: str

    @property
    def missed(self) -> bool:
        return self.note.startswith(MISSED)


class Round(NamedTuple):
    """One measurement of the work, and one of the floor right after it."""

    value: float
    floor: float
    p50_ms: float | None = None
    p99_ms: float | None = None


def row(
    name: str,
    unit: str,
    rounds: Sequence[Round],
    *,
    at_least: float | None,
    note: str = "",
    lower_is_better: bool = False,
) -> Row:
    """Return the medians of the rounds, with a note of the range of their ratios."""
    value, floor = median(r.value for r in rounds), median(r.floor for r in rounds)
    ratios = [_ratio(r.value, r.floor, lower_is_better=lower_is_better) for r in rounds]
    found = Row(
        name=name,
        value=value,
        unit=unit,
        floor=floor,
        ratio=_ratio(value, floor, lower_is_better=lower_is_better),
        at_least=at_least,
        p50_ms=_median([r.p50_ms for r in rounds]),
        p99_ms=_median([r.p99_ms for r in rounds]),
        note="",
    )
    spread = f"{len(rounds)} rounds, ratios {min(ratios):.2f} to {max(ratios):.2f}"
    found = replace(found, note="; ".join(filter(None, (spread, note))))
    return missing(found) if at_least is not None and found.ratio < at_least else found


def missing(row: Row) -> Row:
    """Return the row with a note that it misses its aim."""
    return row if row.missed else replace(row, note=f"{MISSED}; {row.note}")


def percentile_ms(latencies_s: Sequence[float], share: float) -> float:
    """Return the latency that this share of them does not exceed."""
    return sorted(latencies_s)[math.ceil(share * len(latencies_s)) - 1] * 1000


def _ratio(value: float, floor: float, *, lower_is_better: bool) -> float:
    return floor / value if lower_is_better else value / floor


def _median(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return median(present) if present else None
