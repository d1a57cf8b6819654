"""Lists of any length: the uuids of what is in them, and batches of bounded size.

The size of an object is unknown before it is read: a drive's `meta` may be long, a job may have a
thousand sub-jobs. So sizes are estimated from what is quickly found, and limit the batches.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from ledger.store.log import streamed
from ledger.store.parameters import among
from projections.views.filters import Conditions
from projections.views.jobs import Jobs
from projections.views.reader import STREAM_ROWS, sql_limit
from projections.views.walks import Walked

_REFERENCE_BYTES = 200
"""What each job or tag that an object shows adds to its size."""
_JOB_BYTES = 600
_SIZES: Mapping[Walked, str] = {
    "drives": (
        "SELECT uuid, uuid, length(definition) + {reference} * (SELECT count(*)"
        " FROM job_resources_g{g} WHERE resource = uuid) FROM drives_g{g} WHERE uuid IN (...)"
    ),
    "servers": (
        "SELECT uuid, uuid, length(definition) + length(mounts) + length(nics) + {reference} *"
        " (SELECT count(*) FROM job_resources_g{g} WHERE resource = uuid)"
        " FROM servers_g{g} WHERE uuid IN (...)"
    ),
    "tags": (
        "SELECT uuid, uuid, length(meta) + {reference} * (SELECT count(*)"
        " FROM tag_resources_g{g} WHERE tag = uuid) FROM tags_g{g} WHERE uuid IN (...)"
    ),
    "keypairs": (
        "SELECT uuid, uuid, length(public_key) + length(meta)"
        " FROM keypairs_g{g} WHERE uuid IN (...)"
    ),
    "ips": "SELECT uuid, uuid, {reference} FROM ips_g{g} WHERE uuid IN (...)",
    "jobs": (
        "WITH listed AS (SELECT uuid, root FROM jobs_g{g} WHERE uuid IN (...)), family AS"
        " (SELECT root, parent FROM jobs_g{g} WHERE root IN (SELECT root FROM listed)), sizes AS"
        " (SELECT root, count(*) AS jobs FROM family GROUP BY root)"
        " SELECT uuid, listed.root, {job} * jobs FROM listed JOIN sizes ON sizes.root = listed.root"
        " WHERE uuid = listed.root OR uuid IN (SELECT parent FROM family)"
        " UNION ALL SELECT uuid, uuid, {job} FROM listed"
        " WHERE uuid <> root AND uuid NOT IN (SELECT parent FROM family WHERE parent IS NOT NULL)"
    ),
}
"""For each kind: uuids, what is read for each, and about how many bytes that is."""


_ORDERS = ("last_modified DESC, uuid", "last_modified, uuid DESC")
"""The order of jobs, and the same one backwards; an index serves both."""


class Sized(NamedTuple):
    """An object, what is read for it (a job's whole tree), and about how many bytes that is."""

    uuid: str
    read: str
    size: int


class Lists(Jobs):
    def count(self, kind: Walked, owner: str, conditions: Conditions = ()) -> int:
        """Return how many things of this kind the account has that meet these conditions."""
        where, parameters = self._where(owner, conditions)
        return self._count(f"{kind}_g{self._g} WHERE {where}", parameters)

    def listed(
        self, kind: Walked, owner: str, conditions: Conditions = (), *, limit: int, offset: int = 0
    ) -> Iterator[str]:
        """Yield an account's things of this kind, oldest first; a negative limit is none."""
        where, parameters = self._where(owner, conditions)
        of = f"{kind}_g{self._g} WHERE {where} ORDER BY created, uuid"
        return self._uuids(of, parameters, limit, offset)

    def listed_jobs(
        self,
        owner: str,
        states: Sequence[str] | None,
        conditions: Conditions = (),
        *,
        oldest_first: bool = False,
        limit: int,
        offset: int = 0,
    ) -> Iterator[str]:
        """Yield an account's jobs, newest change first; a negative limit is none."""
        where, parameters = self._jobs_where(owner, states, conditions)
        of = f"jobs_g{self._g} WHERE {where} ORDER BY {_ORDERS[oldest_first]}"
        return self._uuids(of, parameters, limit, offset)

    def batches(self, kind: Walked, uuids: Iterable[str], size: int) -> Iterator[list[str]]:
        """Yield those that exist, in order, in batches of about this size."""
        return cut(self._sized(kind, uuids), size)

    def fitting(self, kind: Walked, uuids: Iterable[str], size: int) -> list[str] | None:
        """Return those that exist, in their order; None if they are longer than this together."""
        found = list(self._sized(kind, uuids))
        total = sum({each.read: each.size for each in found}.values())
        return [each.uuid for each in found] if total <= size else None

    def sizes(self, kind: Walked, uuids: Iterable[str]) -> dict[str, int]:
        """Return about how many bytes each of those that exist is long."""
        return {each.uuid: each.size for each in self._sized(kind, uuids)}

    def _uuids(self, of: str, parameters: Sequence[str], limit: int, offset: int) -> Iterator[str]:
        sql = f"SELECT uuid FROM {of} LIMIT ? OFFSET ?"
        given: Sequence[str | int] = (*parameters, sql_limit(limit), offset)
        is_short = 0 <= limit <= STREAM_ROWS
        rows = (
            self._all(sql, given) if is_short else streamed(self._connection.cursor(), sql, given)
        )
        return (uuid for (uuid,) in rows)

    def _sized(self, kind: Walked, uuids: Iterable[str]) -> Iterator[Sized]:
        sql = _SIZES[kind].format(g=self._g, reference=_REFERENCE_BYTES, job=_JOB_BYTES)
        remaining = iter(uuids)
        while some := list(islice(remaining, STREAM_ROWS)):
            found = {row[0]: Sized._make(row) for row in among(self._cursor, sql, some)}
            yield from (found[uuid] for uuid in some if uuid in found)


def cut(objects: Iterable[Sized], size: int) -> Iterator[list[str]]:
    """Yield the objects in batches of up to this size; a longer one comes alone.

    What several objects of a batch need is read once for them, and counts once.
    """
    batch: list[str] = []
    read: set[str] = set()
    total = 0
    for each in objects:
        more = 0 if each.read in read else each.size
        if batch and (total + more > max(size, total) or len(batch) == STREAM_ROWS):
            yield batch
            batch, read, total, more = [], set(), 0, each.size
        batch.append(each.uuid)
        read.add(each.read)
        total += more
    if batch:
        yield batch
