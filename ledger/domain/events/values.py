"""Values in the events of several kinds of streams."""

from typing import Literal

from msgspec import Struct

ResourceKind = Literal["drives", "servers"]


class Closed(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A stored value. An unknown field is not ignored: it means another shape.

    `gc=False` here and for whatever is made of events: immutable values have no cycles, and
    hundreds of thousands of them in memory would make each garbage collection stop the process.
    """
