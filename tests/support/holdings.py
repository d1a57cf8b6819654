"""What accounts have, by the writer's counts and by the rows that are there."""

from functools import partial
from itertools import product
from typing import get_args

from ledger.domain.quotas import EVERYBODY, Holding, Kind
from ledger.store.holding_counts import HoldingCounts
from projections.views.generations import InlineProjection
from tests.support.opened import Opened
from tests.support.world import ME, SOMEBODY_ELSE

HOLDINGS = (
    *(Holding(owner, kind) for owner, kind in product((ME, SOMEBODY_ELSE), get_args(Kind))),
    Holding(EVERYBODY, "unfinished-uploads"),
)


def counts_of(opened: Opened) -> HoldingCounts:
    """The writer's, to be looked at while it rests."""
    return opened.ledger._writer._committed.cache._counts


def count_all(opened: Opened) -> None:
    """Have the writer know the number of everything."""
    for holding in HOLDINGS:
        counts_of(opened).exceeds(holding, 0)


def there(opened: Opened, holding: Holding) -> int:
    """How many there are."""
    count = partial(InlineProjection().count, owner=holding.owner, kind=holding.kind)
    return opened.ledger.read(count)


def miscounted(opened: Opened) -> dict[Holding, tuple[int, int]]:
    """What the writer knows wrongly, beside what is there."""
    known = {holding: counts_of(opened)._counted[holding].number for holding in HOLDINGS}
    found = {holding: there(opened, holding) for holding in HOLDINGS}
    return {each: (known[each], found[each]) for each in HOLDINGS if known[each] != found[each]}
