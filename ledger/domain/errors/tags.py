"""What cannot be done to a tag."""

from ledger.domain.errors import Invalid, NotFound, NothingWithUuid


class TagNotFound(NothingWithUuid):
    thing = "tag"


class ResourceNotFound(NotFound):
    """There is no drive or server that could have the tag."""

    def __init__(self, uuid: str) -> None:
        super().__init__(f"no drive or server with uuid {uuid}", point="resources")


class UnknownTag(Invalid):
    """The account has no such tag to give to a drive or server."""

    point = "tags"

    def __init__(self, uuid: str) -> None:
        super().__init__(f"no tag with uuid {uuid}")
