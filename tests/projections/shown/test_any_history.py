"""Whatever is done in whichever order, what is remembered of jobs is what a read finds."""

from collections import Counter
from pathlib import Path
from random import Random

import pytest

from ledger.domain.commands.housekeeping import SetRetention
from tests.ledger.store.test_any_history import NETWORK, QUOTAS, Happenings
from tests.projections.shown.indexed import Indexed
from tests.support.discarding import AT_ONCE, discard
from tests.support.opened import Opened
from tests.support.world import ME, SOMEBODY_ELSE, Foreseen

COMMANDS = 300
LOOKS = 4


@pytest.mark.parametrize("commands", [COMMANDS, pytest.param(50_000, marks=pytest.mark.long)])
def test_any_history_is_shown_as_it_is_read(tmp_path: Path, seed: int, commands: int) -> None:
    """After each command, of some jobs; discards and rebuilds are among them."""
    chance = Random(seed)  # noqa: S311 - no secrets
    environment = Foreseen(quotas=QUOTAS, addresses=NETWORK)
    with Opened(tmp_path / "ledger.sqlite", environment=environment) as opened:
        opened.do(SetRetention(AT_ONCE))
        happenings, jobs, seen = Happenings(opened, chance), Indexed(opened, 60_000), Counter[str]()
        for number in range(commands):
            happenings.happen()
            if number % 60 == 59:
                discard(opened.ledger, f"sweep-{number}", opened.now())
            if number % 100 == 99:
                opened.rebuild()
            _look(opened, jobs, chance, seen)
        assert seen["from memory"] > commands
        assert seen["gone"] > 0


def _look(opened: Opened, jobs: Indexed, chance: Random, seen: Counter[str]) -> None:
    with opened.snapshot() as snapshot:
        known = [row.uuid for owner in (ME, SOMEBODY_ELSE) for row in snapshot.job_rows(owner)]
        known += [uuid for uuid in jobs._roots if uuid not in known]
        for uuid in chance.sample(sorted(known), min(len(known), LOOKS)):
            for owner in (ME, SOMEBODY_ELSE):
                seen["from memory"] += jobs.remembers(uuid, owner)
                tree = jobs.tree(uuid, owner)
                seen["gone"] += tree is None
                assert tree == snapshot.job(uuid, owner), (uuid, owner)
        for uuid in tuple(jobs._roots):
            assert jobs.tree(uuid) == snapshot.job(uuid, ME)
