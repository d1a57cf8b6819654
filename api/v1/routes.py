"""The URLs of `/api/v1`."""

from collections.abc import Collection

from aiohttp import web
from aiohttp.typedefs import Handler

from api.http.access import Access, add_url
from api.http.errors import ERROR_ANSWERS
from api.service.service import Service
from api.text.urls import V1_ROOT
from api.v1.about import show_about
from api.v1.account import AccountPage
from api.v1.attempts import Attempts
from api.v1.ends import Ends
from api.v1.events import PARAMETERS as OF_EVENTS
from api.v1.events import Events
from api.v1.jobs import Jobs
from api.v1.labels import Labels
from api.v1.lists import PARAMETERS as OF_LISTS
from api.v1.lists import Lists
from api.v1.parameters import strict
from api.v1.problems import explain_problem, problem_answer
from api.v1.registration import Registration
from api.v1.reports import Reports
from api.v1.sdk import get_sdk
from api.v1.stopping.cancels import Cancels
from api.v1.stopping.control import OF_INSTANCE, OF_JOB, Controls
from api.v1.stopping.plans import Plans
from api.v1.tokens import Tokens

JOB = "/jobs/{uuid}"


def add_v1(app: web.Application, service: Service) -> None:
    """Add all URLs below `/api/v1`, and let their errors be problem documents."""
    app[ERROR_ANSWERS][V1_ROOT] = problem_answer
    # The router tries the most frequent URLs first.
    reports = Reports(service)
    _add(app, f"{JOB}/reports", post=reports.report)
    _add(app, "/reports", post=reports.report_many)
    _add(app, "", get=show_about, access="public")
    jobs = Jobs(service)
    _add_jobs(app, service, jobs)
    _add(app, "/problems/{name}", get=explain_problem, access="public")
    _add(app, "/sdk/{name}", get=get_sdk, access="public")
    _add(app, "/jobs/{uuid}/cancel", post=Cancels(service).cancel)
    _add(app, "/cancels", post=Plans(service).cancel)
    controls = Controls(service)
    _add(app, "/jobs/{uuid}/control", get=controls.of_job, parameters=OF_JOB)
    _add(app, "/control", get=controls.of_instance, parameters=OF_INSTANCE)
    tokens = Tokens(service)
    _add(app, "/tokens", get=tokens.list, post=tokens.issue)
    _add(app, "/tokens/{id}", delete=tokens.remove)
    _add(app, "/account", get=AccountPage(service).show)
    _add(app, "/events", get=Events(service).list, parameters=OF_EVENTS, access="viewable")


def _add_jobs(app: web.Application, service: Service, jobs: Jobs) -> None:
    registration, attempts = Registration(service, jobs), Attempts(service, jobs)
    ends, labels = Ends(service, jobs), Labels(jobs)
    lists = Lists(service)
    _add(
        app,
        "/jobs",
        get=lists.list,
        parameters=OF_LISTS,
        access="viewable",
        post=registration.create,
        keyed=True,
    )
    _add(app, f"{JOB}/texts", delete=jobs.remove_texts)
    _add(app, JOB, get=jobs.one, put=registration.put)
    _add(app, f"{JOB}/attempts", post=attempts.begin)
    _add(app, f"{JOB}/end", post=ends.end)
    _add(app, f"{JOB}/seal", post=ends.seal)
    _add(app, f"{JOB}/labels", post=labels.change)


def _add(
    app: web.Application,
    path: str,
    *,
    parameters: Collection[str] = (),
    access: Access = "account",
    keyed: bool = False,
    get: Handler | None = None,
    post: Handler | None = None,
    put: Handler | None = None,
    delete: Handler | None = None,
) -> None:
    """Add a URL whose GET takes these parameters."""
    handlers = {"get": get, "post": post, "put": put, "delete": delete}
    add_url(
        app,
        path,
        root=V1_ROOT,
        access=access,
        keyed=keyed,
        **{name: handler and strict(handler, parameters) for name, handler in handlers.items()},
    )
