"""What cannot be done with an image that arrives in chunks."""

from ledger.domain.errors import Invalid, NotFound, Refusal, WrongState


class UploadGone(NotFound):
    """The drive was deleted while its chunks were arriving."""

    def __init__(self) -> None:
        super().__init__("there is nothing to upload to: the drive was deleted")


class ChunkAbsent(NotFound):
    """The chunk is not there, or not complete."""

    def __init__(self) -> None:
        super().__init__("the chunk is not there")


class ChunkPresent(Refusal):
    """The chunk is there already, and durable."""

    def __init__(self) -> None:
        super().__init__("the chunk is there already")


class NotUploading(WrongState):
    """The drive does not get its image in chunks."""

    def __init__(self, uuid: str) -> None:
        super().__init__(f"drive {uuid} does not get its image in chunks")


class ChunkMisfit(Invalid):
    """The chunk lies outside the drive, or has the wrong number of bytes."""


class ChunkingChanged(Invalid):
    """An upload's chunk size or total size differs from what was said before."""
