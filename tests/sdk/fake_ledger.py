"""A small HTTP server that answers as a ledger does, or as the test says."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any, NamedTuple

from tests.support.wait import wait_for

Body = dict[str, Any]


class Asked(NamedTuple):
    """A request, as it came."""

    method: str
    path: str
    body: Body
    token: str


class Answered(NamedTuple):
    status: int = 200
    body: Mapping[str, Any] = MappingProxyType({})
    headers: Mapping[str, str] = MappingProxyType({})


def problem(status: int, name: str, **more: Any) -> Answered:
    return Answered(status, {"type": f"/api/v1/problems/{name}", "status": status, **more})


class FakeLedger:
    """What was asked, and how that is answered: by `answer`, where it does not return None."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answer: Callable[[Asked], Answered | None] = lambda _: None
        self.controls: list[Body] = []
        """What a long poll is told, each once."""
        self.url = ""
        self._changed = threading.Condition()
        self._is_over = False

    def respond(self, asked: Asked) -> Answered:
        if "/control" in asked.path:
            return self._control()
        with self._changed:
            self.asked.append(asked)
        return self.answer(asked) or usual_answer(asked)

    def _control(self) -> Answered:
        with self._changed:
            self._changed.wait_for(lambda: self._is_over or self.controls)
            said, self.controls = self.controls, []
        return Answered(body={"jobs": said})

    def tell(self, **said: Any) -> None:
        with self._changed:
            self.controls.append(said)
            self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def bodies(self, kind: str) -> list[Body]:
        """Return what was sent to addresses that end so; `jobs` stands for registrations."""
        with self._changed:
            if kind == "jobs":
                return [each.body for each in self.asked if each.method == "PUT"]
            return [each.body for each in self.asked if each.path.endswith(f"/{kind}")]

    def reports(self) -> list[Body]:
        """Return all reports, also those of batches."""
        return [one for body in self.bodies("reports") for one in body.get("reports", [body])]

    def wait_for(self, kind: str, count: int = 1) -> list[Body]:
        return wait_for(
            f"{count} {kind}", lambda: found if len(found := self.bodies(kind)) >= count else None
        )


def usual_answer(asked: Asked) -> Answered:
    kind = asked.path.rpartition("/")[2]
    if asked.method == "PUT":
        return Answered(201, {"job": {"uuid": kind}, "attempt": 1, "token": f"jlj_{kind}.1.mac"})
    if asked.path.endswith("/v1/reports"):
        return Answered(body={"results": [{"accepted": True}] * len(asked.body["reports"])})
    if kind == "attempts":
        return Answered(body={"attempt": asked.body["after"] + 1, "token": "jlj_taken.up"})
    return Answered(body={"accepted": True} if kind == "reports" else {})


@contextmanager
def fake_ledger() -> Iterator[FakeLedger]:
    ledger = FakeLedger()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer is one packet

        def respond(self) -> None:
            read = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answered = ledger.respond(
                Asked(
                    self.command,
                    self.path,
                    json.loads(read or b"{}"),
                    self.headers.get("Authorization", "").removeprefix("Bearer "),
                )
            )
            content = json.dumps(dict(answered.body)).encode()
            self.send_response(answered.status)
            for name, value in {"Content-Type": "application/json", **answered.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_POST = respond  # noqa: N815 - the library's names

        def log_message(self, *_: Any) -> None:
            pass

        def handle(self) -> None:
            with suppress(ConnectionError):  # a client that has ended
                super().handle()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever, args=(0.02,))
    serving.start()
    ledger.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield ledger
    finally:
        ledger.end()
        server.shutdown()
        server.server_close()
        serving.join()
