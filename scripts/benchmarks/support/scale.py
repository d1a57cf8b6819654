"""How much is measured: enough for steady numbers, or less with `--quick`."""

from pathlib import Path
from typing import NamedTuple

MIB = 1024**2
GIB = 1024**3


class Scale(NamedTuple):
    rounds: int
    updates_each: int
    """Updates of each of the 64 callers in a round."""
    library_saves: int
    clones: int
    gets: int
    listed_jobs: int
    keyed_jobs: int
    list_reads: int
    rebuilt_events: int
    rebuilds: int
    copies: int
    copied_bytes: int
    beside_rounds: int
    beside_bytes: int
    frames: int
    idle_subscribers: int
    archived_events: int
    archives: int
    proved_leaves: int
    proofs: int
    compacted_trees: int
    past_jobs: int
    greedy_seconds: float
    long_drives: int
    named_drives: int
    mixed_seconds: float
    beating_jobs: int
    beat_seconds: int
    reports_each: int
    piped_bytes: int
    runs: int


FULL = Scale(
    rounds=5,
    updates_each=500,
    library_saves=4_000,
    clones=2_000,
    gets=8_000,
    listed_jobs=100_000,
    keyed_jobs=1_000_000,
    list_reads=3_000,
    rebuilt_events=1_000_000,
    rebuilds=3,
    copies=3,
    copied_bytes=4 * GIB,
    beside_rounds=3,
    beside_bytes=4 * GIB,
    frames=300,
    idle_subscribers=1_000,
    archived_events=500_000,
    archives=3,
    proved_leaves=10_000_000,
    proofs=1_000,
    compacted_trees=100_000,
    past_jobs=300,
    greedy_seconds=30,
    long_drives=205,
    named_drives=20_000,
    mixed_seconds=900,
    beating_jobs=10_000,
    beat_seconds=60,
    reports_each=250,
    piped_bytes=GIB,
    runs=15,
)
QUICK = Scale(
    rounds=2,
    updates_each=100,
    library_saves=500,
    clones=200,
    gets=1_000,
    listed_jobs=20_000,
    keyed_jobs=20_000,
    list_reads=500,
    rebuilt_events=100_000,
    rebuilds=2,
    copies=2,
    copied_bytes=256 * MIB,
    beside_rounds=1,
    beside_bytes=GIB,
    frames=50,
    idle_subscribers=100,
    archived_events=20_000,
    archives=2,
    proved_leaves=300_000,
    proofs=200,
    compacted_trees=5_000,
    past_jobs=50,
    greedy_seconds=5,
    long_drives=50,
    named_drives=2_000,
    mixed_seconds=20,
    beating_jobs=600,
    beat_seconds=3,
    reports_each=40,
    piped_bytes=64 * MIB,
    runs=3,
)


class Setting(NamedTuple):
    """The input of a benchmark: how much to do, and an empty directory."""

    scale: Scale
    directory: Path
