"""What a verification may find: each kind says what somebody has done, or what has happened."""

from typing import assert_never

from msgspec import Struct


class _Finding(Struct, frozen=True, tag_field="finding", gc=False):
    """Written as JSON with the name of its kind."""


class Changed(_Finding, frozen=True, tag="changed"):
    """An event is not the one that was recorded, or not stored as it was."""

    position: int
    reason: str


class Missing(_Finding, frozen=True, tag="missing"):
    """The events of these leaves, both included, are neither here nor marked as gone."""

    first_leaf: int
    last_leaf: int


class Misplaced(_Finding, frozen=True, tag="misplaced"):
    """An event is where none was recorded, or not in the order in which it was."""

    position: int
    reason: str


class VersionGap(_Finding, frozen=True, tag="version-gap"):
    """The versions of a stream do not follow each other."""

    position: int
    stream: str


class BadTile(_Finding, frozen=True, tag="bad-tile"):
    """What is kept of the tree is not what follows from the events; level 0 has the leaves."""

    level: int
    tile: int
    reason: str


class WronglyGone(_Finding, frozen=True, tag="wrongly-gone"):
    """Another number of events is gone than the ledger's compactions have deleted."""

    gone: int
    compacted: int


class NotArchived(_Finding, frozen=True, tag="not-archived"):
    """Of the events that are gone more are not here than the archives that are not here have."""

    absent: int
    archived: int


class BadArchiveFound(_Finding, frozen=True, tag="bad-archive"):
    """An archive is not the one that was written, or none of this ledger's."""

    archive: str
    reason: str


class UnreadableAct(_Finding, frozen=True, tag="unreadable-act"):
    """An act of the ledger's own, on which the rest is judged, cannot be read."""

    position: int
    reason: str


class ForgedRestore(_Finding, frozen=True, tag="forged-restore"):
    """A restore is recorded that nobody with the key has made."""

    position: int
    epoch: int
    reason: str


class AnotherRoot(_Finding, frozen=True, tag="another-root"):
    """The first events of the ledger, as many as the checkpoint covers, are not those it covers."""

    size: int


class PutBack(_Finding, frozen=True, tag="put-back"):
    """The ledger ends before the checkpoint: an older state was put in its place."""

    epoch: int
    size: int


class Restored(_Finding, frozen=True, tag="restored"):
    """Not tampering: a restore began this epoch, and the checkpoint is of what was lost with it.

    `lost` of the events that the checkpoint covers are; the first `size` are those of the backup.
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
    """The finding as a sentence."""
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
