"""Reads of drives and servers alike: which exist, which were deleted, which are in motion."""

from collections.abc import Sequence

from projections.views.read_models import OwnedResource
from projections.views.reader import Reader

IN_MOTION_LIMIT = 500
"""The most jobs, and the most unfinished drives, of an account that count as in motion."""


class Resources(Reader):
    def drives_and_servers(self, uuids: Sequence[str]) -> list[OwnedResource]:
        """Return those of these drives and servers that exist."""
        return [
            OwnedResource(kind, uuid, owner)
            for kind in ("drive", "server")
            for uuid, owner in self._among(
                f"SELECT uuid, owner FROM {kind}s_g{self._g} WHERE uuid IN (...)", uuids
            )
        ]

    def departed(self, streams: Sequence[str]) -> set[str]:
        """Return those of these streams whose resource was deleted, but is not discarded yet."""
        rows = self._among(f"SELECT stream FROM departed_g{self._g} WHERE stream IN (...)", streams)
        return {stream for (stream,) in rows}

    def in_motion(self, owner: str) -> list[OwnedResource]:
        """Return the account's running jobs, its resources that they name, and unfinished drives.

        At most `IN_MOTION_LIMIT` jobs and as many unfinished drives, the oldest.
        """
        jobs = (
            f"SELECT uuid FROM jobs_g{self._g} WHERE owner IN (...) AND state = 'started'"
            f" ORDER BY last_modified, uuid DESC LIMIT {IN_MOTION_LIMIT}"
        )
        running = [OwnedResource("job", uuid, owner) for (uuid,) in self._among(jobs, [owner])]
        named = self._among(
            f"SELECT DISTINCT resource FROM job_resources_g{self._g} WHERE job IN ({jobs})", [owner]
        )
        # The `||` makes this use the index of unfinished drives, which are few.
        unfinished = self._among(
            f"SELECT uuid FROM drives_g{self._g}"
            " WHERE (ready = 0 OR resizing IS NOT NULL) AND owner || '' IN (...)"
            f" ORDER BY created LIMIT {IN_MOTION_LIMIT}",
            [owner],
        )
        uuids = {uuid for (uuid,) in (*named, *unfinished)}
        others = self.drives_and_servers(sorted(uuids))
        return running + [each for each in others if each.owner == owner]
