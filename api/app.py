"""The web application: which URL is whose."""

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from api.http.idempotency import RAW_URLS
from api.http.middleware import guard
from api.http.public_urls import PUBLIC_URLS, PublicUrls
from api.http.requests import BODY_BYTES
from api.http.staff_access import STAFF_URLS, VIEWABLE_URLS
from api.openapi.handlers import serve_document, serve_page, serve_style
from api.resources.accounts import AccountsActions
from api.resources.drives.handlers import Drives
from api.resources.drives.images import Images
from api.resources.drives.uploads import Uploads
from api.resources.health import Health
from api.resources.jobs.handlers import Jobs
from api.resources.jobs.time_travel import TimeTravel
from api.resources.libdrives import Libdrives
from api.resources.logs import Logs
from api.resources.page_files import ADDRESSES, PageFiles
from api.resources.profile import Profile
from api.resources.proofs import Proofs
from api.resources.schema import serve_schema
from api.resources.servers.handlers import Servers
from api.resources.staff import Staff
from api.resources.tags import Tags
from api.resources.unsupported import ABSENT, SideResources, empty_list, nothing
from api.resources.websocket import Websocket
from api.service.service import Service

ROOT = "/api/2.0"
PAGE = "page"
"""The name of the resource that is a page for people."""
# The names of other URLs are never taken for a uuid, whatever the method.
UUID = r"{uuid:(?!(?:detail|schema|statistics|upload|availability_groups)(?:/|$))[^/]+}"


def make_app(service: Service) -> web.Application:
    """The API over a running service, which outlives it."""
    public = PublicUrls()
    app = web.Application(middlewares=[guard(service, public)], client_max_size=BODY_BYTES)
    app[PUBLIC_URLS] = public
    app[RAW_URLS] = set()
    app[VIEWABLE_URLS] = set()
    app[STAFF_URLS] = set()
    travel = TimeTravel(service)
    _add_jobs(app, Jobs(service, travel), travel)
    _add_images(app, Images(service))
    uploads = Uploads(service)
    drives = Drives(service, uploads)
    _add_drives(app, drives)
    _add_uploads(app, drives, uploads)
    _add_servers(app, Servers(service))
    _add_tags(app, Tags(service))
    _add_libdrives(app, Libdrives(service, drives))
    _add_account(app, Profile(service), Logs(service))
    _add_accounts(app, AccountsActions(service))
    _add_proofs(app, Proofs(service))
    _add_staff(app, Staff(service))
    _add_side_resources(app, SideResources(service))
    _add_documents(app)
    _add_websocket(app, Websocket(service))
    _add_health(app, Health(service))
    _add_page(app, PageFiles(), public)
    return app


def _add_jobs(app: web.Application, jobs: Jobs, travel: TimeTravel) -> None:
    # What is asked for most is tried first.
    _add(app, f"/jobs/{UUID}", get=jobs.one, viewable=True)
    _add(app, "/jobs", get=jobs.list, viewable=True)
    _add(app, "/jobs/detail", get=jobs.list, viewable=True)
    _add(app, "/jobs/statistics", get=jobs.statistics, viewable=True)
    _add(app, "/jobs/schema", get=jobs.schema)
    _add(app, f"/jobs/{UUID}/action", post=jobs.act)
    _add(app, f"/jobs/{UUID}/history", get=travel.history, viewable=True)


def _add_drives(app: web.Application, drives: Drives) -> None:
    _add(
        app,
        "/drives",
        get=drives.list,
        post=drives.create,
        delete=drives.delete_many,
        viewable=True,
    )
    _add(app, "/drives/detail", get=drives.list_detail, viewable=True)
    _add(app, "/drives/schema", get=serve_schema("drives"))
    _add(app, "/drives/availability_groups", get=drives.availability_groups)
    _add(app, f"/drives/availability_groups/{UUID}", get=drives.availability_group)
    _add(
        app, f"/drives/{UUID}", get=drives.one, put=drives.edit, delete=drives.delete, viewable=True
    )
    _add(app, f"/drives/{UUID}/action", post=drives.act)


def _add_images(app: web.Application, images: Images) -> None:
    _add(app, "/drives/upload", post=images.upload, raw=True)
    _add(app, "/drives/upload/{name}", post=images.upload, raw=True)
    _add(app, f"/drives/{UUID}/download", get=images.download)


def _add_uploads(app: web.Application, drives: Drives, uploads: Uploads) -> None:
    _add(app, "/initupload", post=drives.begin_upload)
    _add(app, f"/drives/{UUID}/upload", get=uploads.find, post=uploads.send, raw=True)
    _add(app, "/uploads/{token}", post=uploads.send_by_link, public=True)


def _add_servers(app: web.Application, servers: Servers) -> None:
    _add(app, "/servers", get=servers.list, post=servers.create, delete=servers.delete_many)
    _add(app, "/servers/detail", get=servers.list_detail)
    _add(app, "/servers/schema", get=serve_schema("servers"))
    _add(app, "/servers/availability_groups", get=servers.availability_groups)
    _add(app, f"/servers/availability_groups/{UUID}", get=servers.availability_group)
    _add(app, f"/servers/{UUID}", get=servers.one, put=servers.edit, delete=servers.delete)
    _add(app, f"/servers/{UUID}/runtime", get=servers.runtime)
    _add(app, f"/servers/{UUID}/action", post=servers.act)


def _add_tags(app: web.Application, tags: Tags) -> None:
    _add(app, "/tags", get=tags.list, post=tags.create)
    _add(app, "/tags/detail", get=tags.list)
    _add(app, "/tags/schema", get=serve_schema("tags"))
    _add(app, f"/tags/{UUID}", get=tags.one, put=tags.edit, delete=tags.delete)
    kinds = "{kind:drives|servers|ips|vlans}"
    _add(app, f"/tags/{UUID}/{kinds}", get=tags.resources)
    _add(app, f"/tags/{UUID}/{kinds}/detail", get=tags.resources)


def _add_libdrives(app: web.Application, libdrives: Libdrives) -> None:
    _add(app, "/libdrives", get=libdrives.list)
    _add(app, "/libdrives/detail", get=libdrives.list)
    _add(app, "/libdrives/schema", get=serve_schema("libdrives"))
    _add(app, f"/libdrives/{UUID}", get=libdrives.one)
    _add(app, f"/libdrives/{UUID}/action", post=libdrives.act)


def _add_account(app: web.Application, profile: Profile, logs: Logs) -> None:
    _add(app, "/profile", get=profile.show, put=profile.edit)
    _add(app, "/profile/schema", get=serve_schema("profile"))
    _add(app, "/logs", get=logs.list)


def _add_accounts(app: web.Application, actions: AccountsActions) -> None:
    _add(app, "/accounts/action", post=actions.act, public=True)
    _add(app, "/accounts/self", get=actions.own)


def _add_proofs(app: web.Application, proofs: Proofs) -> None:
    _add(app, "/ledger/checkpoint", get=proofs.checkpoint)
    _add(app, "/ledger/proofs/inclusion", get=proofs.inclusion)
    _add(app, "/ledger/proofs/consistency", get=proofs.consistency)


def _add_staff(app: web.Application, staff: Staff) -> None:
    _add(app, "/ledger/status", get=staff.status, staff=True)
    _add(app, "/ledger/accounts", get=staff.accounts, staff=True)
    _add(app, "/ledger/retention", get=staff.retention, staff=True)
    _add(app, "/ledger/retention/plan", get=staff.plan, staff=True)


def _add_side_resources(app: web.Application, side: SideResources) -> None:
    _add(app, "/capabilities", get=side.capabilities)
    _add(app, "/capabilities/schema", get=side.capabilities_schema)
    _add(app, "/cloud_status", get=side.cloud_status)
    _add(app, "/locations", get=side.locations, public=True)
    for kind in ABSENT:
        _add(app, f"/{kind}", get=empty_list)
        _add(app, f"/{kind}/detail", get=empty_list)
        _add(app, f"/{kind}/{UUID}", get=nothing)


def _add_documents(app: web.Application) -> None:
    _add(app, "/openapi.json", get=serve_document, public=True)
    _add(app, "/docs", root="/api", get=serve_page, public=True)
    _add(app, "/docs/style.css", root="/api", get=serve_style, public=True)


def _add_websocket(app: web.Application, websocket: Websocket) -> None:
    # Documented, configured by clients, and where everything else is.
    for root in ("/2.0", "", ROOT):
        _add(app, "/websocket", root=root, get=websocket.open, public=True)


def _add_health(app: web.Application, health: Health) -> None:
    _add(app, "/healthz", root="", get=health.alive, public=True)
    _add(app, "/readyz", root="", get=health.ready, public=True)
    app.on_cleanup.append(health.close)


def _add_page(app: web.Application, files: PageFiles, public: PublicUrls) -> None:
    """What a browser shows is no part of the API."""
    resource = app.router.add_resource(f"/{ADDRESSES}", name=PAGE)
    public.add(resource)
    resource.add_route(hdrs.METH_GET, files.get)
    resource.add_route(hdrs.METH_HEAD, files.get)


def _add(
    app: web.Application,
    path: str,
    *,
    root: str = ROOT,
    get: Handler | None = None,
    post: Handler | None = None,
    put: Handler | None = None,
    delete: Handler | None = None,
    public: bool = False,
    raw: bool = False,
    viewable: bool = False,
    staff: bool = False,
) -> None:
    """A URL, with its slash at the end and without: a redirected POST would lose its body.

    A public one needs no login, and its handlers are told of none. The bodies for a raw one are no
    JSON, and as long as an image. At a viewable one auditors and operators see what others have;
    nobody else sees what is for the staff.
    """
    for url in (f"{root}{path}/", f"{root}{path}"):
        resource = app.router.add_resource(url)
        if public:
            app[PUBLIC_URLS].add(resource)
        for urls, is_one in ((RAW_URLS, raw), (VIEWABLE_URLS, viewable), (STAFF_URLS, staff)):
            if is_one:
                app[urls].add(resource)
        if get is not None:
            resource.add_route(hdrs.METH_GET, get)
            resource.add_route(hdrs.METH_HEAD, get)
        if post is not None:
            resource.add_route(hdrs.METH_POST, post)
        if put is not None:
            resource.add_route(hdrs.METH_PUT, put)
        if delete is not None:
            resource.add_route(hdrs.METH_DELETE, delete)
