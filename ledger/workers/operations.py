"""How workers do the operations that they execute (see `ledger.domain.operations`).

A function here does the work of one attempt and returns when it is done and durable. An exception
fails the job, unless the attempt was stopped or replaced.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from ledger.domain.events.jobs import Fingerprint, OperationName
from ledger.images.background_sync import Checkpoint
from ledger.images.copy import copy_image
from ledger.images.errors import PartTaken, SourceChanged
from ledger.images.files import publish, remove
from ledger.images.parts import take_over
from ledger.images.regular_files import is_there, state_of
from ledger.workers.attempts import Attempt


def clone_drive(attempt: Attempt) -> None:
    """Copy the source's image into a part file, and make that the destination's image."""
    destination, source, fingerprint = attempt.destination, attempt.source, attempt.fingerprint
    assert destination is not None
    pool = attempt.pool(destination)
    image = pool.image(destination.uuid)
    part = pool.part(destination.uuid, attempt.number)
    take_over(pool, destination.uuid, attempt.number)
    if is_there(image):
        # An earlier attempt published it, but could not say so; its name may not be on disk yet.
        remove(part)
        return
    if not isinstance(fingerprint, Fingerprint):
        raise fingerprint
    recorded = attempt.job.fingerprint
    if recorded is not None and not fingerprint.is_of_a_copy_of(recorded):
        raise SourceChanged(f"the image of drive {source.uuid} changed between two attempts")
    copy_image(
        source=attempt.pool(source).image(source.uuid),
        part=part,
        size=destination.definition.size,
        resume=_checkpoint_to_resume(attempt, part),
        on_checkpoint=attempt.report,
        on_moved=attempt.on_moved,
        rate=attempt.copying.rate,
        verify=attempt.copying.verify,
        stop=attempt.stop,
        expected=fingerprint,
        steps=attempt.steps,
    )
    attempt.require_current()
    try:
        publish(part, image)
    except FileNotFoundError as error:
        raise PartTaken(f"{part} is gone") from error


def _checkpoint_to_resume(attempt: Attempt, part: Path) -> Checkpoint | None:
    """Return the recorded checkpoint if the part is as long as it says; otherwise start over.

    A checkpoint that stayed recorded would be believed of this attempt's part once that is as long.
    """
    job = attempt.job
    if not job.offset:
        return None
    if is_there(part) and state_of(part).st_size >= job.offset:
        return Checkpoint(job.offset, job.bytes_done, job.bytes_total or 0)
    attempt.start_over()
    return None


WORK: Mapping[OperationName, Callable[[Attempt], None]] = {
    "drive_clone": clone_drive,
}
