"""The findings of a verification: each kind says what somebody did, or what happened."""

from typing import assert_never

from msgspec import Struct


class _Finding(Struct, frozen=True, tag_field="finding", gc=False):
    """A finding; as JSON it carries the name of its kind."""


class Changed(_Finding, frozen=True, tag="changed"):
    """An event is not the one that was recorded, or is not stored as it was."""

    position: int
    reason: str


class Missing(_Finding, frozen=True, tag="missing"):
    """The events of these leaves, first and last included, are neither here nor marked as gone."""

    first_leaf: int
    last_leaf: int


class Misplaced(_Finding, frozen=True, tag="misplaced"):
    """An event is where none was recorded, or is out of the recorded order."""

    position: int
    reason: str


class VersionGap(_Finding, frozen=True, tag="version-gap"):
    """The versions of a stream are not consecutive."""

    position: int
    stream: str


class BadTile(_Finding, frozen=True, tag="bad-tile"):
    """A stored tile of the tree does not follow from the events; level 0 has the leaves."""

    level: int
    tile: int
    reason: str


class WronglyGone(_Finding, frozen=True, tag="wrongly-gone"):
    """The number of gone events differs from the number that compactions have deleted."""

    gone: int
    compacted: int


class NotArchived(_Finding, frozen=True, tag="not-archived"):
    """The archives here lack more of the gone events than the missing archives hold."""

    absent: int
    archived: int


class BadArchiveFound(_Finding, frozen=True, tag="bad-archive"):
    """An archive is not the one that was written, or does not belong to this ledger."""

    archive: str
    reason: str


class UnreadableAct(_Finding, frozen=True, tag="unreadable-act"):
    """One of the ledger's own acts, by which the rest is judged, cannot be read."""

    position: int
    reason: str


class ForgedRestore(_Finding, frozen=True, tag="forged-restore"):
    """The record of a restore was not made by anybody with the key."""

    position: int
    epoch: int
    reason: str


class AnotherRoot(_Finding, frozen=True, tag="another-root"):
    """The ledger's first events, as many as the checkpoint covers, are not the covered ones."""

    size: int


class PutBack(_Finding, frozen=True, tag="put-back"):
    """The ledger ends before the checkpoint: an older state was put in its place."""

    epoch: int
    size: int


class Restored(_Finding, frozen=True, tag="restored"):
    """Not tampering: a restore began this epoch, and lost events that the checkpoint covers.

    `lost` is the number of those events; the first `size` events come from the backup.
    """

    epoch: int
    size: int
    lost: int


Finding = (
    Changed
    | Missing
    | Misplaced
    | VersionGap
    | BadTile
    | WronglyGone
    | NotArchived
    | BadArchiveFound
    | UnreadableAct
    | ForgedRestore
    | AnotherRoot
    | PutBack
    | Restored
)


def described(finding: Finding) -> str:
    match finding:
        case Changed(position, reason):
            return f"the event at position {position} was changed: {reason}"
        case Missing(first, last) if first == last:
            return f"the event of leaf {first} is missing"
        case Missing(first, last):
            return f"the events of leaves {first} to {last} are missing"
        case Misplaced(position, reason):
            return f"the event at position {position} is not in its place: {reason}"
        case VersionGap(position, stream):
            return (
                f"the event at position {position} does not follow what came before it in {stream}"
            )
        case BadTile(level, tile, reason):
            return f"tile {tile} of level {level} of the tree was changed: {reason}"
        case WronglyGone(gone, compacted):
            return f"{gone} events are gone, and {compacted} were compacted"
        case NotArchived(absent, archived):
            return (
                f"{absent} events that are gone are not here, and the archives that are not here"
                f" have {archived}"
            )
        case BadArchiveFound(archive, reason):
            return f"archive {archive}: {reason}"
        case UnreadableAct(position, reason):
            return f"the event at position {position} cannot be read: {reason}"
        case ForgedRestore(position, epoch, reason):
            return f"the restore to epoch {epoch} at position {position} is forged: {reason}"
        case AnotherRoot(size):
            return f"the first {size} events are not those that the checkpoint was signed for"
        case PutBack(epoch, size):
            return (
                f"put back to an older state: it has {size} events and is of epoch {epoch},"
                " which is less than the checkpoint says"
            )
        case Restored(epoch, size, lost):
            return (
                f"restored: epoch {epoch} began with a backup of the first {size} events; what was"
                f" recorded after the backup is lost, {lost} events of this checkpoint among it"
            )
        case _:
            assert_never(finding)
