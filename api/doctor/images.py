"""Checks of pools and images."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from api.data.location import Database, PostgresDatabase
from api.doctor.findings import FREE_BYTES_LOW
from api.doctor.subject import Subject
from ledger.domain.errors.store import StoreFailed
from ledger.images.files import is_read_only
from ledger.images.pools import Pool
from ledger.store.postgres.connections import connected
from ledger.store.postgres.pool_registry import recent_pools
from ledger.workers.worker_registry import WORKERS_REMEMBERED_FOR
from projections.maintenance.backup.images import MissingImage, missing_images
from projections.views.drives import expected_images

NAMED_MAX = 10
"""Drives without an image that are named."""


def unreachable_pools(subject: Subject) -> Iterable[str]:
    for pool in subject.pools_found:
        if pool.free_bytes is None:
            yield f"pool {pool.name} cannot be reached at {pool.path}"


def full_pools(subject: Subject) -> Iterable[str]:
    """Look at read-only pools only where a service runs."""
    for pool in subject.pools_found:
        if pool.free_bytes is None or (not subject.runs and is_read_only(Path(pool.path))):
            continue
        if pool.free_bytes < FREE_BYTES_LOW:
            yield f"pool {pool.name} has only {pool.free_bytes} bytes left"


def unknown_pools(subject: Subject) -> Iterable[str]:
    """Pools that hold drives, and that no process has."""
    known = {pool.name for pool in subject.pools_found} | _pools_elsewhere(subject.database)
    for pool, count in sorted(subject.ledger.drives.items()):
        if pool not in known:
            yield f"{count} drives are in pool {pool}, which is not among those looked at (--pool)"


def images_not_there(subject: Subject) -> Iterable[str]:
    """Look twice: since the first look, a drive and its image may have been deleted."""
    reached = {pool.name for pool in subject.pools_found if pool.free_bytes is not None}
    pools = [pool for pool in subject.pools if pool.name in reached]
    missing = _find_missing(subject.database, pools)
    if missing:
        missing &= _find_missing(subject.database, pools)
    if missing:
        named = [f"{drive} in pool {pool}" for drive, pool in sorted(missing)[:NAMED_MAX]]
        more = f" and {len(missing) - NAMED_MAX} more" if len(missing) > NAMED_MAX else ""
        yield f"the image of {len(missing)} drives is not there: {', '.join(named)}{more}"


def _pools_elsewhere(database: Database) -> set[str]:
    """Return the pools that workers have, or had recently; none if that cannot be read."""
    if not isinstance(database, PostgresDatabase):
        return set()
    with suppress(StoreFailed), connected(database.url) as connection:
        return {
            seen.space.name for seen in recent_pools(connection.cursor(), WORKERS_REMEMBERED_FOR)
        }
    return set()


def _find_missing(database: Database, pools: list[Pool]) -> set[MissingImage]:
    with database.log() as log:
        expected = expected_images(log.cursor())
    return set(missing_images(expected, {pool.name: pool for pool in pools}))
