"""A whole service on either store, whose address stays the same whenever it is started again."""

import json
import sqlite3
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import requests

from tests.acceptance.running import EMAIL, PASSWORD, Machine, Server, run_command
from tests.support.cluster import free_port
from tests.support.wait import PATIENCE_S

DAY_S = 24 * 60 * 60
_PAGE = 100
_ANY_NUMBER = tuple(f"--limit={what}-per-minute=0" for what in ("registrations", "labels"))
"""One token stands for all clients of a trial."""


class Place:
    """A data directory, its store, and the service that is there, or is away."""

    def __init__(self, machine: Machine, database: str | None) -> None:
        self.machine = machine
        self._database = database
        self.port = free_port()
        self._server: Server | None = None
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()
        if database is not None:
            self._command("account", "add", EMAIL, "--password-stdin", stdin=f"{PASSWORD}\n")
        added = self._command("token", "add", EMAIL)
        self.token = added.partition("token: ")[2].strip()

    def _command(self, *words: str, stdin: str = "") -> str:
        done = run_command(*words, "--data", str(self.machine.data), stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def database(self) -> str:
        assert self._database is not None
        return self._database

    @property
    def is_sqlite(self) -> bool:
        return self._database is None

    @property
    def is_there(self) -> bool:
        return self._server is not None

    def start(self) -> None:
        store = () if self._database is None else ("--store", self._database)
        self._server = self.machine.start("--port", str(self.port), *_ANY_NUMBER, *store)

    def kill(self) -> None:
        assert self._server is not None
        self._server.kill()
        self._server = None

    def stop(self) -> None:
        assert self._server is not None
        assert self._server.stop() == 0
        self._server = None

    def ask(self, path: str) -> Any:
        """Return what the service says; raise `OSError` if it cannot."""
        asked = urllib.request.Request(  # noqa: S310 - ours
            f"{self.url}/api/v1{path}", headers={"Authorization": f"Bearer {self.token}"}
        )
        with urllib.request.urlopen(asked, timeout=PATIENCE_S) as answer:  # noqa: S310
            return json.load(answer)

    def tell(
        self, method: str, path: str, said: Any = None, *, status: int | None = None, key: str = ""
    ) -> None:
        """Tell the service of something, which must be taken, or answered so."""
        headers = {"Authorization": f"Bearer {self.token}", "Idempotency-Key": key or path}
        url = f"{self.url}/api/v1{path}"
        answer = requests.request(method, url, json=said, headers=headers, timeout=PATIENCE_S)
        expected = (200, 201, 202) if status is None else (status,)
        assert answer.status_code in expected, answer.text

    def jobs(self) -> Iterator[Any]:
        """Yield all jobs, the newest first."""
        page = self.ask(f"/jobs?limit={_PAGE}")
        yield from page["jobs"]
        while page["next"] is not None:
            page = self.ask(f"/jobs?limit={_PAGE}&after={page['next']}")
            yield from page["jobs"]

    def let_leases_run_out(self, seconds: int = 1000 * DAY_S, *, only: str = "") -> None:
        """Let the clock of the leases go on, by default further than anybody waits for a report."""
        which = f" WHERE job = '{only}'" if only else ""
        self.sql(f"UPDATE leases SET due = due - {seconds * 1_000_000}{which}")

    def let_time_pass_unseen(self, seconds: int) -> None:
        """Let the clock of the store go on while nobody looks: all that was noted was before."""
        earlier = f"- {seconds * 1_000_000}"
        self.sql(
            f"UPDATE service_time SET seen = seen {earlier}",
            f"UPDATE leases SET due = due {earlier}",
        )

    def ends(self) -> Counter[str]:
        """Return how often each job has ended, by its events."""
        found = self.sql("SELECT originator_id, topic FROM stored_events")
        return Counter(
            str(stream).removeprefix("job-")
            for stream, topic in found
            if str(topic).partition("/")[0] in ENDING
        )

    def sql(self, *statements: str) -> list[tuple[Any, ...]]:
        """Do it in the store, beside the service, in one transaction; return the last rows."""
        return self._rows(*statements)[1]

    def table(self, name: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Return the names of its columns, and its rows."""
        return self._rows(f'SELECT * FROM "{name}"')

    def _rows(self, *statements: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        if self._database is not None:
            with psycopg.connect(self._database) as connection:
                *_, cursor = [connection.execute(each.encode()) for each in statements]
                names = [column.name for column in cursor.description or ()]
                return names, cursor.fetchall() if cursor.description else []
        ledger = self.machine.data / "ledger.sqlite"
        with closing(sqlite3.connect(ledger, timeout=PATIENCE_S)) as there, there:
            *_, found = [there.execute(each) for each in statements]
            return [column[0] for column in found.description or ()], found.fetchall()


ENDING = ("job-succeeded", "job-failed", "job-cancelled", "job-skipped")


def until_closed(place: Place) -> None:
    """Wait until nobody runs any more: leases run out as often as it takes."""
    give_up = time.monotonic() + PATIENCE_S
    while left := [job for job in place.jobs() if not job["done"]]:
        assert time.monotonic() < give_up, left
        place.let_leases_run_out()
        time.sleep(0.2)
