"""A small synchronous client of the API, and images to upload."""

import hashlib
import random
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol, Self

import requests

from tests.harness.evidence import note_request
from tests.support.wait import PATIENCE_S, wait_for

BLOCK = 64 * 1024
"""Whole blocks of zeros in an upload become holes."""

PUBLIC_KEY = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE9bZ7pkLWFnGyTfPk7sxP3mCB1nUQhcIuAe8HrSwbmK elm@example"
)

Json = dict[str, Any]


class Body(Protocol):
    """What a request sends piece by piece."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[bytes]: ...


class Clone(NamedTuple):
    """A new drive or server, and the job that makes it."""

    uuid: str
    job: str


def _noted(response: requests.Response, **_: object) -> None:
    asked = response.request
    note_request(str(asked.method), str(asked.url), response.status_code)


class Api:
    """One client; not for several threads at once."""

    def __init__(self, address: str, email: str, password: str) -> None:
        self.address = address
        self.root = f"{address}/api/2.0"
        self._account = (email, password)
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.auth = self._account
        self._session.hooks["response"].append(_noted)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._session.close()

    def another(self) -> "Api":
        """For another thread."""
        return Api(self.address, *self._account)

    def call(self, method: str, path: str, **given: Any) -> requests.Response:
        """Any request, with any answer; `path` is below the root unless it starts with `/api/`."""
        given.setdefault("timeout", PATIENCE_S)
        given.setdefault("allow_redirects", False)
        url = self.address + path if path.startswith("/api/") else self.root + path
        return self._session.request(method, url, **given)

    def get(self, path: str) -> Json:
        return _expected(self.call("GET", path), 200)

    def status(self, path: str) -> int:
        return self.call("GET", path).status_code

    def post(self, path: str, json: object = None, *, status: int) -> Json:
        return _expected(self.call("POST", path, json=json), status)

    def delete(self, path: str, json: object = None) -> None:
        answer = self.call("DELETE", path, json=json)
        assert answer.status_code == 204, _told(answer)

    # Drives

    def drive(self, uuid: str) -> Json:
        return self.get(f"/drives/{uuid}/")

    def drives(self) -> list[Json]:
        objects: list[Json] = self.get("/drives/detail/?limit=0")["objects"]
        return objects

    def upload(self, content: bytes | Body, name: str = "birch", **said: str) -> str:
        answer = self.call("POST", f"/drives/upload/{name}", data=content, params=said)
        assert answer.status_code == 200, _told(answer)
        return answer.text.strip()

    def download(self, drive: str) -> bytes:
        answer = self.call("GET", f"/drives/{drive}/download/")
        assert answer.status_code == 200, _told(answer)
        return answer.content

    def clone(self, drive: str, **said: object) -> Clone:
        answer = self.post(f"/drives/{drive}/action/?do=clone", said, status=202)
        (new,) = answer["objects"]
        (job,) = new["jobs"]
        return Clone(new["uuid"], job["uuid"])

    # Servers

    def server(self, uuid: str) -> Json:
        return self.get(f"/servers/{uuid}/")

    def create_server(self, *drives: str, **said: object) -> str:
        mounts = [
            {"drive": drive, "device": "virtio", "dev_channel": f"0:{unit}"}
            for unit, drive in enumerate(drives)
        ]
        server = {"name": "oak", "cpu": 1000, "mem": 1024**3, "vnc_password": "spoon"}
        answer = self.post("/servers/", {**server, "drives": mounts, **said}, status=201)
        (new,) = answer["objects"]
        uuid: str = new["uuid"]
        return uuid

    def clone_server(self, server: str, **said: object) -> Clone:
        new = self.post(f"/servers/{server}/action/?do=clone", said, status=202)
        (job,) = new["jobs"]
        return Clone(new["uuid"], job["uuid"])

    # Jobs

    def job(self, uuid: str) -> Json:
        return self.get(f"/jobs/{uuid}/")

    def jobs(self) -> list[Json]:
        objects: list[Json] = self.get("/jobs/?limit=0")["objects"]
        return objects

    def follow(self, job: str) -> list[Json]:
        """All that is seen of the job until it has ended."""
        seen: list[Json] = []

        def has_ended() -> bool:
            seen.append(self.job(job))
            return bool(seen[-1]["state"] != "started")

        wait_for(f"for job {job} to end", has_ended)
        return seen

    def cancel(self, job: str) -> None:
        self.post(f"/jobs/{job}/action/?do=cancel", status=202)

    def succeed(self, *jobs: str) -> None:
        """Waits for these jobs to succeed."""
        for job in jobs:
            last = self.follow(job)[-1]
            assert (last["state"], last["data"]) == ("success", {"progress": 100}), last


def _expected(answer: requests.Response, status: int) -> Json:
    assert answer.status_code == status, _told(answer)
    value: Json = answer.json()
    return value


def _told(answer: requests.Response) -> str:
    request = answer.request
    return f"{request.method} {request.url}: {answer.status_code} {answer.text}"


def data_blocks(count: int, seed: int = 1) -> bytes:
    """So many blocks of random bytes, without a hole."""
    noise = random.Random(seed)  # noqa: S311 - test data, the same every time
    return noise.randbytes(count * BLOCK)


def striped(count: int, seed: int = 1) -> bytes:
    """So many blocks of random bytes, each with a hole of three blocks behind it."""
    data = data_blocks(count, seed)
    hole = bytes(3 * BLOCK)
    return b"".join(data[at : at + BLOCK] + hole for at in range(0, len(data), BLOCK))


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def progresses(seen: Sequence[Json]) -> list[int]:
    return [job["data"]["progress"] for job in seen]
