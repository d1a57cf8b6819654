"""The structs of all bodies of `/api/v1`, from which its description has their schemas."""

from msgspec import Struct

from api.v1.about import About
from api.v1.cancels import CancelAnswer, CancelBody
from api.v1.control import Control, ControlOfInstance
from api.v1.events import CloudEvent
from api.v1.problems import ProblemMeaning

BODIES: tuple[type[Struct], ...] = (
    *(About, ProblemMeaning),
    *(CancelBody, CancelAnswer),
    *(Control, ControlOfInstance, CloudEvent),
)
