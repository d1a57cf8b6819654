"""An account with a bit of everything, so that generated requests meet something that exists."""

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from schemathesis import Case

from ledger.domain.operations import OPERATIONS
from tests.acceptance.client import BLOCK, PUBLIC_KEY, Api, data_blocks
from tests.acceptance.running import EMAIL, PASSWORD

LEAST = 4
"""As many of each kind there are at the least before requests are sent."""
SMALL = BLOCK
"""Of an uploaded image: what is downloaded is not larger."""
SIZE = 512 * 1024**2
KEY = "Idempotency-Key"
"""Most become new ones; the others are the same short ones again and again, for other requests."""
FITTED = 0.6
"""How many bodies have nothing in them that contradicts itself, where most generated ones do."""
AIMED = 0.8
"""How many of the generated uuids become ones of things that exist."""
WORK, GROUP = "backup.rsync", "backup.all"
"""Operations of the jobs that a producer has registered."""
OF_WORK = ("reports", "end", "cancel", "attempts")
"""What a process does with a job that it works on."""
PATIENCE_S = 0.05
"""The longest that a generated request waits for a job."""

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
NAMED_BY = {
    "drive": "drives",
    "tag": "tags",
    "tags": "tags",
    "resources": "drives",
    "pubkeys": "keypairs",
    "job": "produced",
    "parent": "produced",
    "rerun_of": "produced",
}
"""What the uuids below a key of a body or a parameter of a query are of."""


@dataclass
class Stock:
    """What there is, and how requests are aimed at it."""

    api: Api
    random: random.Random
    found: dict[str, list[str]] = field(default_factory=dict)

    def refill(self) -> None:
        """Looks at what there is now, and makes what there is too little of."""
        for path, kinds in LISTS.items():
            self._look(path)
            lacking = {kind: LEAST - len(self.found[kind]) for kind in kinds if kind in MAKERS}
            for kind, count in lacking.items():
                for _ in range(count):
                    MAKERS[kind](self.api)
            if any(count > 0 for count in lacking.values()):
                self._look(path)

    def aim(self, case: Case) -> None:
        """Puts things that exist where the case has made-up uuids, most of the time."""
        kind = case.path.removeprefix("/api/2.0/").partition("/")[0]
        if case.path.startswith("/api/v1/") and case.method != "PUT":
            kind = "produced"
        for parameters in (case.path_parameters, case.query):
            for name, value in (parameters or {}).items():
                parameters[name] = self._aimed(value, NAMED_BY.get(name, kind))
        chosen = NEEDING.get(case.operation.label)
        if chosen is not None:
            case.path_parameters["uuid"] = self.random.choice(self.found[chosen])
        if "wait" in (case.query or {}):
            case.query["wait"] = PATIENCE_S
        if KEY in case.headers and self.random.random() < AIMED:
            case.headers[KEY] += f"-{self.random.getrandbits(32)}"
        case.body = self._aimed(case.body, kind)
        if isinstance(case.body, dict) and self.random.random() < FITTED:
            case.body.update(FITS.get(case.operation.label, {}))

    def _look(self, path: str) -> None:
        objects = self.api.get(path)["objects"]
        for kind in LISTS[path]:
            fits = FITTING.get(kind, bool)
            self.found[kind] = [each["uuid"] for each in objects if fits(each)]

    def _aimed(self, value: Any, kind: str) -> Any:
        if isinstance(value, dict):
            if "username" in value and self.random.random() < AIMED:
                return {"username": EMAIL, "password": PASSWORD}
            return {key: self._aimed(each, NAMED_BY.get(key, kind)) for key, each in value.items()}
        if isinstance(value, list):
            return [self._aimed(each, kind) for each in value]
        if isinstance(value, str) and UUID.fullmatch(value) and self.random.random() < AIMED:
            return self.random.choice(self.found.get(kind) or [value])
        return value


LISTS = {
    "/drives/detail/?limit=0&fields=uuid,size,status": ("drives", "small", "uploading"),
    "/servers/?limit=0&fields=uuid": ("servers",),
    "/jobs/?limit=50&fields=uuid": ("jobs",),
    "/jobs/?limit=50&fields=uuid,operation&state=started": ("running", "worked", "groups"),
    "/jobs/?limit=50&fields=uuid,operation": ("produced",),
    "/tags/?limit=0&fields=uuid": ("tags",),
    "/keypairs/?limit=0&fields=uuid": ("keypairs",),
    "/pubkeys/?limit=0&fields=uuid": ("pubkeys",),
    "/ips/?limit=0": ("ips",),
    "/libdrives/?limit=0&fields=uuid": ("libdrives",),
}
"""The kinds that a list tells of."""
FITTING: Mapping[str, Callable[[Any], bool]] = {
    "small": lambda drive: drive["size"] <= SMALL and drive["status"] != "uploading",
    "uploading": lambda drive: drive["status"] == "uploading",
    "running": lambda job: job["operation"] in OPERATIONS,
    "produced": lambda job: job["operation"] not in OPERATIONS,
    "worked": lambda job: job["operation"] == WORK,
    "groups": lambda job: job["operation"] == GROUP,
}
"""Which of those in the list are of the kind, if not all."""
NEEDING = {
    "GET /api/2.0/ips/{uuid}/": "ips",
    "GET /api/2.0/drives/{uuid}/download/": "small",
    "GET /api/2.0/drives/{uuid}/upload/": "uploading",
    "POST /api/2.0/drives/{uuid}/upload/": "uploading",
    "POST /api/2.0/jobs/{uuid}/action/": "running",
    **dict.fromkeys((f"POST /api/v1/jobs/{{uuid}}/{each}" for each in OF_WORK), "worked"),
    "POST /api/v1/jobs/{uuid}/seal": "groups",
}
"""Operations for which not just any thing of its kind will do."""


_ALONE = {"ends": "self", "expect_children": None, "tolerate": [], "parent": None, "end": None}
FITS: Mapping[str, Mapping[str, Any]] = {
    "POST /api/v1/jobs": _ALONE,
    "PUT /api/v1/jobs/{uuid}": _ALONE,
    "POST /api/v1/jobs/{uuid}/end": {"reason": None, "attempt": None, "final": True},
    "POST /api/v1/cancels": {"filter": {"operation": [WORK]}, "plan": None},
    "POST /api/v1/tokens": {"name": "nas", "source": None, "restrictors": [], "expires_at": None},
}
"""What bodies say that would else be refused for what one field says beside another."""


def make_drive(api: Api) -> None:
    api.post("/drives/", {"name": "oak", "media": "disk", "size": SIZE}, status=201)


def make_small_drive(api: Api) -> None:
    api.upload(data_blocks(1))


def make_upload(api: Api) -> None:
    api.post("/initupload/", {"name": "fir", "media": "disk", "size": SIZE}, status=201)


def make_server(api: Api) -> None:
    api.create_server()


def make_tag(api: Api) -> None:
    api.post("/tags/", {"name": "fleet"}, status=201)


def make_keypair(api: Api) -> None:
    api.post("/keypairs/", {"name": "laptop", "public_key": PUBLIC_KEY}, status=201)


def make_ip(api: Api) -> None:
    server = api.create_server(nics=[{"ip_v4_conf": {"conf": "dhcp"}}])
    api.post(f"/servers/{server}/action/?do=start", status=202)


def make_job(api: Api) -> None:
    """Takes a while, by the rate that copies are held to."""
    api.clone(api.upload(data_blocks(1)))


def make_worked(api: Api) -> None:
    """Any of a producer, by the account itself."""
    _register(api, operation=WORK)


def make_group(api: Api) -> None:
    _register(api, operation=GROUP, ends="children")


def _register(api: Api, **said: str) -> None:
    answer = api.call("POST", "/api/v1/jobs", json=said)
    assert answer.status_code == 201, answer.text


MAKERS: Mapping[str, Callable[[Api], object]] = {
    "drives": make_drive,
    "small": make_small_drive,
    "uploading": make_upload,
    "servers": make_server,
    "jobs": make_job,
    "running": make_job,
    "produced": make_worked,
    "worked": make_worked,
    "groups": make_group,
    "tags": make_tag,
    "keypairs": make_keypair,
    "ips": make_ip,
}
