"""The structs of all bodies of `/api/v1`, from which its description takes their schemas."""

from msgspec import Struct

from api.v1.about import About
from api.v1.account import AccountUse
from api.v1.attempts import NewAttempt, TakenUp
from api.v1.end_bodies import JobEnd
from api.v1.ends import EndAnswer, SealBody
from api.v1.events import CloudEvent
from api.v1.jobs import JobAnswer
from api.v1.labels import LabelsBody
from api.v1.lists import JobList
from api.v1.problems import ProblemMeaning
from api.v1.registration import NewJob
from api.v1.reports import BatchAnswer, BatchBody, JobReportBody, ReportAnswer, ReportBody
from api.v1.representation import Job
from api.v1.stopping.cancels import CancelAnswer, CancelBody
from api.v1.stopping.control import Control, ControlOfInstance
from api.v1.stopping.plans import CancelPlan, CancelsBody, ManyCancelled
from api.v1.tokens import IssuedToken, NewToken, TokenList

BODIES: tuple[type[Struct], ...] = (
    *(Job, NewJob, NewAttempt, TakenUp, JobEnd, EndAnswer, SealBody, LabelsBody, JobAnswer),
    JobList,
    *(About, ProblemMeaning),
    *(CancelBody, CancelAnswer, CancelsBody, CancelPlan, ManyCancelled),
    *(Control, ControlOfInstance, CloudEvent),
    *(NewToken, IssuedToken, TokenList, AccountUse),
    *(ReportBody, ReportAnswer, JobReportBody, BatchBody, BatchAnswer),
)
