"""The structs of all bodies of `/api/v1`, from which its description has their schemas."""

from msgspec import Struct

from api.v1.about import About
from api.v1.cancels import CancelAnswer, CancelBody
from api.v1.problems import ProblemMeaning
from api.v1.reports import BatchAnswer, BatchBody, JobReportBody, ReportAnswer, ReportBody

BODIES: tuple[type[Struct], ...] = (
    *(About, ProblemMeaning),
    *(CancelBody, CancelAnswer),
    *(ReportBody, ReportAnswer, JobReportBody, BatchBody, BatchAnswer),
)
