"""Reads of what the feed sends: how long it is, and its views."""

from collections.abc import Sequence
from itertools import accumulate

from projections.feed.pacing import Item
from projections.feed.resource_kinds import KINDS, LEAF, View
from projections.views.read_models import JobTree
from projections.views.snapshot import Snapshot

TURN_BYTES = 128 * 1024
"""About how long the resources of a turn are together; a longer one is read and shown in a thread.

A tag may be on thousands of things, and a job have as many sub-jobs.
"""


def how_many_fit(snapshot: Snapshot, items: Sequence[Item]) -> int:
    """Return how many of the items, from the first, are no longer than a turn together."""
    sizes = _sizes(snapshot, items)
    totals = accumulate(sizes.get(item, 0) for item in items)
    return sum(total <= TURN_BYTES for total in totals)


def _sizes(snapshot: Snapshot, items: Sequence[Item]) -> dict[Item, int]:
    """Return about how long they are, as far as they exist and may be long."""
    found: dict[Item, int] = {}
    for kind in dict.fromkeys(item.kind for item in items if not item.leaf):
        sizes = KINDS[kind].sizes
        if sizes is not None:
            uuids = [item.uuid for item in items if item.kind == kind and not item.leaf]
            found |= {Item(kind, uuid): size for uuid, size in snapshot.sizes(sizes, uuids).items()}
    return found


def read_views(snapshot: Snapshot, items: Sequence[Item], owner: str) -> dict[Item, View]:
    """Return the views of these resources; those that are gone are missing."""
    found: dict[Item, View] = {}
    for kind, leaf in {(item.kind, item.leaf): None for item in items}:
        uuids = [item.uuid for item in items if (item.kind, item.leaf) == (kind, leaf)]
        read = LEAF.read if leaf else KINDS[kind].read
        views = read(snapshot, uuids, owner)
        found |= {Item(kind, uuid, leaf): view for uuid, view in views.items()}
    return found


def count_jobs(tree: JobTree) -> int:
    return 1 + sum(map(count_jobs, tree.children))
