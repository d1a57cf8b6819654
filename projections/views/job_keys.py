"""A job's place in the list of jobs, which goes by the last change and then by uuid."""

from typing import NamedTuple

from projections.views.read_models import JobTree


class JobKey(NamedTuple):
    """Where a list goes on behind a job; the job need not be there any more, nor be there still.

    A job that changes meanwhile moves to the front: who pages on meets it again only there.
    """

    last_modified: str
    uuid: str


def key_of(tree: JobTree) -> JobKey:
    return JobKey(tree.job.last_modified, tree.job.uuid)
