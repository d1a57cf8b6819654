"""The web application: the handlers of each URL, and who may use it."""

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from msgspec import Struct

from api.http.access import UNKEYED_URLS, URL_ACCESS, Access, add_url
from api.http.caching import keep_private
from api.http.edge.cookies import COOKIES, Cookies
from api.http.edge.proxies import TRUSTED_PROXIES, TrustedProxies
from api.http.errors import ERROR_ANSWERS
from api.http.middleware import make_middleware
from api.http.permissions.call_rates import CALLS, Calls
from api.http.permissions.scopes import JOB_SCOPES, JobScopes
from api.http.streams import ADMISSION, HEAVY_READS
from api.http.wire.bodies import BODY_BYTES, LIMITS
from api.openapi.handlers import serve_document, serve_page, serve_style, serve_v1_document
from api.resources.accounts import AccountsActions
from api.resources.collections import Collection
from api.resources.drives.handlers import Drives
from api.resources.drives.images import Images
from api.resources.drives.uploads import Uploads
from api.resources.health import Health
from api.resources.jobs.handlers import Jobs
from api.resources.jobs.time_travel import TimeTravel
from api.resources.keypairs.handlers import Keypairs
from api.resources.libdrives import Libdrives
from api.resources.logs import Logs
from api.resources.page_files import ADDRESSES, PageFiles
from api.resources.profile import Profiles
from api.resources.proofs import Proofs
from api.resources.schema import serve_schema
from api.resources.servers.addresses import Ip, ips_of
from api.resources.servers.handlers import Servers
from api.resources.staff import Staff
from api.resources.tags import Tags
from api.resources.unsupported import ABSENT, SideResources, empty_list, nothing
from api.resources.websocket import Websocket
from api.service.service import Service
from api.text.urls import API_ROOT, V1_ROOT
from api.v1.routes import add_v1
from projections.views.read_models import IpView
from projections.views.reader import Named

PAGE = "page"
"""The name of the route to the page for people."""
# The name of another URL is not taken for a uuid, whatever the method is.
UUID = r"{uuid:(?!(?:detail|schema|statistics|upload|availability_groups)(?:/|$))[^/]+}"


def make_app(service: Service) -> web.Application:
    """Make the API over a running service, which outlives it."""
    app = web.Application(middlewares=[make_middleware(service)], client_max_size=BODY_BYTES)
    app.on_response_prepare.append(keep_private)
    app[URL_ACCESS] = {}
    app[ERROR_ANSWERS] = {}
    app[UNKEYED_URLS] = set()
    app[COOKIES] = cookies = Cookies(service.ledger_id)
    app[LIMITS] = service.limits
    app[TRUSTED_PROXIES] = TrustedProxies(service.trusted_proxies)
    app[HEAVY_READS] = service.reads
    app[ADMISSION] = service.admission
    app[JOB_SCOPES] = JobScopes(service.ledger)
    app[CALLS] = Calls(service.call_rates, service.admission, service.limits.long_polls_per_token)
    travel = TimeTravel(service)
    _add_jobs(app, Jobs(service, travel), travel)
    images = Images(service)
    app.on_cleanup.append(images.close)
    _add_images(app, images)
    uploads = Uploads(service)
    drives = Drives(service, uploads)
    _add_drives(app, drives)
    _add_uploads(app, drives, uploads)
    _add_servers(app, Servers(service))
    _add_ips(app, ips_of(service))
    _add_tags(app, Tags(service))
    _add_keypairs(app, Keypairs(service))
    _add_libdrives(app, Libdrives(service, drives))
    _add_account(app, Profiles(service), Logs(service))
    _add_accounts(app, AccountsActions(service))
    _add_proofs(app, Proofs(service))
    _add_staff(app, Staff(service))
    _add_side_resources(app, SideResources(service))
    _add_documents(app)
    _add_websocket(app, Websocket(service))
    _add_health(app, Health(service))
    add_v1(app, service)
    _add_page(app, PageFiles(cookies.name("csrftoken")))
    return app


def _add_jobs(app: web.Application, jobs: Jobs, travel: TimeTravel) -> None:
    # The router tries the most frequent URLs first.
    _add(app, f"/jobs/{UUID}", get=jobs.one, access="viewable")
    _add(app, "/jobs", get=jobs.list, access="viewable")
    _add(app, "/jobs/detail", get=jobs.list, access="viewable")
    _add(app, "/jobs/statistics", get=jobs.statistics, access="viewable")
    _add(app, "/jobs/schema", get=jobs.schema)
    _add(app, f"/jobs/{UUID}/action", post=jobs.act)
    _add(app, f"/jobs/{UUID}/history", get=travel.history, access="viewable")


def _add_drives(app: web.Application, drives: Drives) -> None:
    _add_lists(
        app,
        "/drives",
        drives.collection,
        put=drives.edit_many,
        post=drives.create,
        delete=drives.delete_many,
        access="viewable",
    )
    _add(app, "/drives/availability_groups", get=drives.availability_groups)
    _add(app, f"/drives/availability_groups/{UUID}", get=drives.availability_group)
    _add(
        app,
        f"/drives/{UUID}",
        get=drives.collection.one,
        put=drives.edit,
        delete=drives.delete,
        access="viewable",
    )
    _add(app, f"/drives/{UUID}/action", post=drives.act)


def _add_images(app: web.Application, images: Images) -> None:
    _add(app, "/drives/upload", post=images.upload, access="raw")
    _add(app, "/drives/upload/{name}", post=images.upload, access="raw")
    _add(app, f"/drives/{UUID}/download", get=images.download)


def _add_uploads(app: web.Application, drives: Drives, uploads: Uploads) -> None:
    _add(app, "/initupload", post=drives.begin_upload)
    _add(app, f"/drives/{UUID}/upload", get=uploads.find, post=uploads.send, access="raw")
    _add(app, "/uploads/{token}", post=uploads.send_by_link, access="public")


def _add_servers(app: web.Application, servers: Servers) -> None:
    _add_lists(
        app,
        "/servers",
        servers.collection,
        put=servers.edit_many,
        post=servers.create,
        delete=servers.delete_many,
    )
    _add(app, "/servers/availability_groups", get=servers.availability_groups)
    _add(app, f"/servers/availability_groups/{UUID}", get=servers.availability_group)
    one = servers.collection.one
    _add(app, f"/servers/{UUID}", get=one, put=servers.edit, delete=servers.delete)
    _add(app, f"/servers/{UUID}/runtime", get=servers.runtime)
    _add(app, f"/servers/{UUID}/action", post=servers.act)


def _add_ips(app: web.Application, ips: Collection[IpView, Ip]) -> None:
    _add_lists(app, "/ips", ips)
    _add(app, f"/ips/{UUID}", get=ips.one)


def _add_tags(app: web.Application, tags: Tags) -> None:
    _add_lists(app, "/tags", tags.collection, post=tags.create)
    _add(app, f"/tags/{UUID}", get=tags.collection.one, put=tags.edit, delete=tags.delete)
    kinds = "{kind:drives|servers|ips|vlans}"
    _add(app, f"/tags/{UUID}/{kinds}", get=tags.resources)
    _add(app, f"/tags/{UUID}/{kinds}/detail", get=tags.resources)


def _add_keypairs(app: web.Application, keypairs: Keypairs) -> None:
    _add_lists(app, "/keypairs", keypairs.collection, post=keypairs.create)
    one = keypairs.collection.one
    _add(app, f"/keypairs/{UUID}", get=one, put=keypairs.edit, delete=keypairs.delete)
    _add_lists(app, "/pubkeys", keypairs.pubkeys)
    _add(app, f"/pubkeys/{UUID}", get=keypairs.pubkeys.one)


def _add_libdrives(app: web.Application, libdrives: Libdrives) -> None:
    _add(app, "/libdrives", get=libdrives.list)
    _add(app, "/libdrives/detail", get=libdrives.list)
    _add(app, "/libdrives/schema", get=serve_schema("libdrives"))
    _add(app, f"/libdrives/{UUID}", get=libdrives.one)
    _add(app, f"/libdrives/{UUID}/action", post=libdrives.act)


def _add_account(app: web.Application, profile: Profiles, logs: Logs) -> None:
    _add(app, "/profile", get=profile.show, put=profile.edit)
    _add(app, "/profile/schema", get=serve_schema("profile"))
    _add(app, "/logs", get=logs.list)


def _add_accounts(app: web.Application, actions: AccountsActions) -> None:
    _add(app, "/accounts/action", post=actions.act, access="public")
    _add(app, "/accounts/self", get=actions.own)


def _add_proofs(app: web.Application, proofs: Proofs) -> None:
    _add(app, "/ledger/checkpoint", get=proofs.checkpoint)
    _add(app, "/ledger/proofs/inclusion", get=proofs.inclusion)
    _add(app, "/ledger/proofs/consistency", get=proofs.consistency)


def _add_staff(app: web.Application, staff: Staff) -> None:
    _add(app, "/ledger/status", get=staff.status, access="staff")
    _add(app, "/ledger/accounts", get=staff.accounts, access="staff")
    _add(app, "/ledger/retention", get=staff.retention, access="staff")
    _add(app, "/ledger/retention/plan", get=staff.plan, access="staff")


def _add_side_resources(app: web.Application, side: SideResources) -> None:
    _add(app, "/capabilities", get=side.capabilities)
    _add(app, "/capabilities/schema", get=side.capabilities_schema)
    _add(app, "", get=side.index, access="public")
    billing = (
        ("balance", side.balance),
        ("currentusage", side.current_usage),
        ("pricing", side.pricing),
    )
    for kind, get in billing:
        _add(app, f"/{kind}", get=get)
        _add(app, f"/{kind}/detail", get=get)
        _add(app, f"/{kind}/schema", get=serve_schema(kind))
    _add(app, "/cloud_status", get=side.cloud_status, access="public")
    _add(app, "/locations", get=side.locations, access="public")
    for kind in ABSENT:
        _add(app, f"/{kind}", get=empty_list)
        _add(app, f"/{kind}/detail", get=empty_list)
        _add(app, f"/{kind}/{UUID}", get=nothing)


def _add_documents(app: web.Application) -> None:
    _add(app, "/openapi.json", get=serve_document, access="public")
    _add(app, "/openapi.json", root=V1_ROOT, get=serve_v1_document, access="public")
    _add(app, "/docs", root="/api", get=serve_page, access="public")
    _add(app, "/docs/style.css", root="/api", get=serve_style, access="public")


def _add_websocket(app: web.Application, websocket: Websocket) -> None:
    # Where the public API documents it, where clients configure it, and below the API's root.
    for root in ("/2.0", "", API_ROOT):
        _add(app, "/websocket", root=root, get=websocket.open, access="public")


def _add_health(app: web.Application, health: Health) -> None:
    _add(app, "/healthz", root="", get=health.alive, access="public")
    _add(app, "/readyz", root="", get=health.ready, access="public")
    app.on_cleanup.append(health.close)


def _add_page(app: web.Application, files: PageFiles) -> None:
    """Add what a browser shows, which is not part of the API."""
    resource = app.router.add_resource(f"/{ADDRESSES}", name=PAGE)
    app[URL_ACCESS][resource] = "public"
    resource.add_route(hdrs.METH_GET, files.get)
    resource.add_route(hdrs.METH_HEAD, files.get)


def _add_lists(
    app: web.Application,
    path: str,
    collection: Collection[Named, Struct],
    *,
    access: Access = "account",
    post: Handler | None = None,
    put: Handler | None = None,
    delete: Handler | None = None,
) -> None:
    """Add the lists of a collection and its schema, and what is done to several at once."""
    _add(app, path, get=collection.list, post=post, put=put, delete=delete, access=access)
    _add(app, f"{path}/detail", get=collection.list_detail, access=access)
    _add(app, f"{path}/schema", get=serve_schema(path.strip("/")))


def _add(
    app: web.Application,
    path: str,
    *,
    root: str = API_ROOT,
    access: Access = "account",
    get: Handler | None = None,
    post: Handler | None = None,
    put: Handler | None = None,
    delete: Handler | None = None,
) -> None:
    add_url(app, path, root=root, access=access, get=get, post=post, put=put, delete=delete)
