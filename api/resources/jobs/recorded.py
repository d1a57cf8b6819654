"""A job as bytes: as it is recorded, and as it is shown."""

from datetime import datetime
from typing import NamedTuple

from api.http.etags import digest
from api.http.responses import encode
from api.resources.jobs.representation import represent_job
from projections.views.read_models import JobTree


class _Shown(NamedTuple):
    """A job as JSON, as it is shown during this second of the clock."""

    second: int
    body: bytes
    digest: str


class Recorded:
    """A job as JSON, as it is recorded: without estimates, which change as time passes."""

    def __init__(self, tree: JobTree) -> None:
        self.tree = tree
        self.body = encode(represent_job(tree, None))
        self.digest = digest(self.body)
        self._shown = _Shown(0, self.body, self.digest)
        self.size = 2 * len(self.body)  # as recorded, and with estimates

    @property
    def has_ended(self) -> bool:
        return self.tree.job.state != "started"

    def shown(self, now: datetime) -> _Shown:
        """Return it with estimates. They are in whole seconds, so one is enough for a second."""
        second = int(now.timestamp())
        if not self.has_ended and self._shown.second != second:
            body = encode(represent_job(self.tree, now))
            self._shown = _Shown(second, body, digest(body))
        return self._shown
