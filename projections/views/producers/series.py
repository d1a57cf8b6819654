"""Reads of series: how long a job of each is expected to take."""

from collections.abc import Iterable, Sequence
from math import ceil
from typing import NamedTuple

from ledger.store.parameters import among
from projections.views.reader import Reader

SUCCESSES = 20
"""The last ones of a series, of which the expected duration comes. Retention keeps as many."""


class Expected(NamedTuple):
    """How long half of the last successes took at most, and nine out of ten; None without any."""

    p50_s: float | None
    p90_s: float | None


UNKNOWN = Expected(None, None)


class Series(Reader):
    def expected(self, owner: str, series: Iterable[str]) -> dict[str, Expected]:
        """Return what to expect of the account's series; those without a success are left out."""
        found = among(
            self._cursor,
            "WITH named (series) AS (VALUES ...)"
            " SELECT series, (SELECT group_concat(took) FROM"
            f" (SELECT CAST(took_ms AS TEXT) AS took FROM runs_g{self._g} AS run"
            "  WHERE owner = ? AND succeeded = 1 AND run.series = named.series"
            f"  ORDER BY ended DESC, uuid DESC LIMIT {SUCCESSES}) AS last) FROM named",
            list(dict.fromkeys(series)),
            owner,
            mark="(?)",
        )
        return {
            name: _expected([int(took) for took in took_ms.split(",")])
            for name, took_ms in found
            if took_ms is not None
        }


def _expected(took_ms: list[int]) -> Expected:
    took_ms.sort()
    return Expected(_quantile(took_ms, 0.5), _quantile(took_ms, 0.9))


def _quantile(took_ms: Sequence[int], share: float) -> float:
    """Return the least of these sorted durations that this share of them does not exceed."""
    return took_ms[ceil(len(took_ms) * share) - 1] / 1000
