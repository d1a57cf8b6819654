"""`?as_of=` and `/jobs/{uuid}/history/`: jobs as they were, and the events that changed them."""

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from api.http.requests import SHORT_LIMIT
from ledger.codec import leaf_hash
from ledger.domain.commands.housekeeping import SetRetention
from ledger.domain.commands.jobs import StartAttempt, UpdateProgress
from ledger.store.writer import Caller
from projections.time_travel import past
from tests.api.calling import ALICE, BOB, UNKNOWN, WORKER, Answer, Api
from tests.harness.cases import in_turn
from tests.support.discarding import AT_ONCE, discard

PLUS_TWO = timezone(timedelta(hours=2))


def position(answer: Answer) -> int:
    return int(answer.headers["X-Ledger-Position"])


def uuids(answer: Answer) -> list[str]:
    return [job["uuid"] for job in answer.json["objects"]]


# The history of a job


async def test_a_history_is_all_events_in_order(api: Api):
    """Each event of the job has its position, version, time, actor, name, fields and leaf."""
    source = await api.drive()
    _, job = await api.clone(source)
    await api.do(StartAttempt(job, 1, "rack-7"), UpdateProgress(job, 1, 40, 4, 10, 4))
    history = (await api.get(f"/jobs/{job}/history/")).json
    assert history["meta"] == {"limit": 20, "offset": 0, "total_count": 3}
    created, started, progress = history["objects"]
    assert [each["event"] for each in history["objects"]] == [
        "job-created/2",
        "job-attempt-started/2",
        "progress-updated/2",
    ]
    assert [each["version"] for each in history["objects"]] == [1, 2, 3]
    assert created["position"] < started["position"] < progress["position"]
    assert created["actor"] == created["fields"]["owner"] == ALICE.uuid
    assert (progress["actor"], progress["request_id"]) == WORKER[:2]
    assert progress["fields"] == {
        "attempt": 1,
        "progress": 40,
        "bytes_done": 4,
        "bytes_total": 10,
        "offset": 4,
        "bytes_verified": None,
    }
    shown = (await api.get(f"/jobs/{job}/")).json
    assert (created["recorded_at"], progress["recorded_at"]) == (
        shown["created"],
        shown["last_modified"],
    )
    with api.service.ledger.log() as log:
        stored = {event.position: event for event in log.events()}
    for each in history["objects"]:
        event = stored[each["position"]]
        assert each["leaf_index"] == event.leaf_index
        assert each["leaf"] == leaf_hash(*event[2:6]).hex()


async def test_the_creation_names_the_request_that_caused_it(api: Api):
    """The owner finds the name of the request again that made the job."""
    source = await api.drive()
    answer = await api.post(
        f"/drives/{source}/action/?do=clone", {}, headers={"X-Request-ID": "my-own.name"}
    )
    job = answer.json["objects"][0]["jobs"][0]["uuid"]
    (created,) = (await api.get(f"/jobs/{job}/history/")).json["objects"]
    assert created["request_id"] == "my-own.name"


async def test_a_history_may_begin_with_the_newest_event(api: Api):
    """In pages, too; another order is refused."""
    job = await api.job()
    await api.begin(job)
    await api.do(UpdateProgress(job, 1, 40))
    path = f"/jobs/{job}/history/?fields=version&order_by="
    for order, versions in (("version", [1, 2, 3]), ("-version", [3, 2, 1])):
        answer = await api.get(path + order)
        assert [each["version"] for each in answer.json["objects"]] == versions
        answer = await api.get(f"{path}{order}&limit=1&offset=1")
        assert answer.json["objects"] == [{"version": 2}]
    assert (await api.get(path + "position")).error == (400, "validation", "order_by")


async def test_a_history_comes_in_pages(api: Api):
    """Any limit and offset gives that part, 0 all; `fields` gives exactly these keys."""
    job = await api.job()
    await api.do(StartAttempt(job, 1, "w"), *(UpdateProgress(job, 1, at) for at in range(30)))
    path = f"/jobs/{job}/history/"
    whole = (await api.get(f"{path}?limit=0")).json["objects"]
    assert len(whole) == 32
    for limit, offset in ((20, 0), (5, 30), (1, 31), (0, 3), (7, 100)):
        answer = (await api.get(f"{path}?limit={limit}&offset={offset}")).json
        assert answer["meta"] == {"limit": limit, "offset": offset, "total_count": 32}
        assert answer["objects"] == whole[offset : offset + limit if limit else None]
    (first,) = (await api.get(f"{path}?limit=1&fields=event,version")).json["objects"]
    assert first == {"event": "job-created/2", "version": 1}


async def test_a_stranger_is_not_named(api: Api):
    """If another account acted on the job, neither that account nor its request is shown."""
    job = await api.job()
    await api.service.ledger.execute(StartAttempt(job, 1, "w"), Caller(BOB.uuid, "of-bob"))
    answer = await api.get(f"/jobs/{job}/history/")
    assert [(each["actor"], each["request_id"]) for each in answer.json["objects"]] == [
        WORKER[:2],
        (None, None),
    ]
    assert BOB.uuid.encode() not in answer.body


@pytest.mark.parametrize("path", ["history/", "?as_of={position}"])
async def test_another_accounts_job_is_not_found(api: Api, path: str):
    """What is another's is a 404, as what never was, now and in the past."""
    job = await api.job()
    path = path.format(position=position(await api.get(f"/jobs/{job}/")))
    theirs = await api.get(f"/jobs/{job}/{path}", by=BOB)
    never = await api.get(f"/jobs/{UNKNOWN}/{path}", by=BOB)
    assert theirs.error == never.error == (404, "notexist", None)
    assert theirs.body.replace(job.encode(), UNKNOWN.encode()) == never.body
    assert (await api.get(f"/jobs/nonsense/{path}")).error == (404, "notexist", None)
    assert (await api.get(f"/jobs/{job}/{path}")).status == 200


async def test_lists_of_the_past_hold_only_the_callers_jobs(api: Api):
    """A list of the past has the caller's own jobs, and counts no others."""
    await api.job()
    mine = await api.job(owner=BOB)
    now = position(await api.get("/jobs/"))
    answer = await api.get(f"/jobs/?as_of={now}", by=BOB)
    assert uuids(answer) == [mine]
    assert answer.json["meta"]["total_count"] == 1


# Jobs as they were


class Seen(NamedTuple):
    """The answers at a position."""

    position: int
    at: datetime
    bodies: dict[str, bytes | None]


class Watching:
    """Does things, and notes after each of them all that is answered."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.seen: list[Seen] = []
        self.jobs: set[str] = set()

    async def after(self, doing: Awaitable[Any]) -> Any:
        done = await doing
        while not await self._look():
            pass
        return done

    async def _look(self) -> bool:
        """Note the current answers, unless something changes meanwhile."""
        bodies: dict[str, bytes | None] = {}
        listed = await self.api.get(f"/jobs/?limit={SHORT_LIMIT}")
        self.jobs |= set(uuids(listed))
        for path in ("/jobs/", "/jobs/detail/?limit=2&offset=1", "/jobs/?state=success,failed"):
            bodies[path] = (await self.api.get(path)).body
        for job in self.jobs:
            bodies[f"/jobs/{job}/"] = (await self.api.get(f"/jobs/{job}/")).body
        seen = Seen(position(listed), datetime.now(UTC), bodies)
        if position(await self.api.get("/jobs/?limit=1")) != seen.position:
            return False
        self.seen.append(seen)
        return True


async def eventful(api: Api) -> Watching:
    """Clones that succeed, fail and run, and what they name made and deleted meanwhile."""
    watching = Watching(api)
    after = watching.after
    disks = [await after(api.drive()), await after(api.drive())]
    server = await after(api.server(*disks))
    clone = (await after(api.post(f"/servers/{server}/action/?do=clone"))).json
    tree = (await api.get(clone["jobs"][0]["resource_uri"])).json
    first, second = [child["uuid"] for child in tree["children"]]
    _, third = await after(api.clone(disks[0]))
    await after(api.begin(first))
    await after(api.do(UpdateProgress(first, 1, 40, 4, 10, 4)))
    await after(api.begin(third))
    await after(api.succeed_begun(first))
    await after(api.succeed(second))
    await after(api.delete(f"/servers/{clone['uuid']}/"))
    await after(api.post(f"/jobs/{third}/action/?do=cancel"))
    _, fourth = await after(api.clone(disks[1]))
    await after(api.fail(fourth))
    await after(api.delete(f"/servers/{server}/?recurse=all_drives"))
    return watching


async def test_as_of_a_position_is_what_was_answered_there(api: Api):
    """Every list and every job is answered, byte for byte, as it was at that position."""
    watching = await eventful(api)
    assert len({seen.bodies["/jobs/"] for seen in watching.seen}) > 8
    for seen in watching.seen:
        for path, body in seen.bodies.items():
            separator = "&" if "?" in path else "?"
            answer = await api.get(f"{path}{separator}as_of={seen.position}")
            assert answer.body == body, (path, seen.position)
            assert position(answer) == seen.position
        for job in watching.jobs:
            if f"/jobs/{job}/" not in seen.bodies:
                answer = await api.get(f"/jobs/{job}/?as_of={seen.position}")
                assert answer.error == (404, "notexist", None)


async def test_as_of_a_time_is_what_was_answered_then(api: Api):
    """Also with another offset, and with a blank where the `+` was."""
    watching = await eventful(api)
    for seen in watching.seen:
        for text in (
            seen.at.isoformat().replace("+00:00", "Z"),
            quote(seen.at.isoformat()),
            seen.at.isoformat(),  # its + means a blank
            quote(seen.at.astimezone(PLUS_TWO).isoformat(sep=" ")),
            seen.at.astimezone(PLUS_TWO).isoformat(),
        ):
            answer = await api.get(f"/jobs/?as_of={text}")
            assert answer.body == seen.bodies["/jobs/"], text
            assert position(answer) == seen.position


async def test_before_the_first_event_nothing_existed(api: Api):
    """At position 0, and long ago, the list is empty and no job is there."""
    job = await api.job()
    for long_ago in ("0", "1999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"):
        answer = await api.get(f"/jobs/?as_of={long_ago}")
        assert answer.json["meta"] == {"limit": 20, "offset": 0, "total_count": 0}
        assert (answer.json["objects"], position(answer)) == ([], 0)
        assert (await api.get(f"/jobs/{job}/?as_of={long_ago}")).status == 404


async def test_an_answer_about_a_position_never_changes(api: Api):
    """Its entity tag is the same whatever happens afterwards, and the client need not get it."""
    job = await api.job()
    first = await api.get(f"/jobs/{job}/")
    url = f"/jobs/{job}/?as_of={position(first)}"
    then = await api.get(url)
    await api.succeed(job)
    later = await api.get(url)
    assert (later.body, later.headers["ETag"]) == (then.body, then.headers["ETag"])
    known = {"If-None-Match": then.headers["ETag"]}
    assert (await api.get(url, headers=known)).status == 304
    assert (await api.get(f"/jobs/{job}/", headers=known)).status == 200


async def test_wait_is_ignored_for_the_past(api: Api):
    """With `wait`, the past is answered at once: it will not change."""
    job = await api.job()
    now = position(await api.get("/jobs/"))
    answer = await api.get(f"/jobs/{job}/?wait=60&as_of={now}")
    assert answer.json["state"] == "started"


async def test_discarded_jobs_are_in_the_past(api: Api):
    """Now it is a 404; as of then it is there with its tree, and its history can be read."""
    service = api.service
    parent = await api.job()
    child = await api.job(parent=parent)
    await api.succeed(child)
    before = await api.get("/jobs/")
    histories = [(await api.get(f"/jobs/{job}/history/")).body for job in (parent, child)]
    await api.do(SetRetention(AT_ONCE))
    await asyncio.to_thread(discard, service.ledger, service.new_id(), service.now())
    with service.ledger.log() as log:
        after = log.last_position()
    for job in (parent, child):
        assert (await api.get(f"/jobs/{job}/")).status == 404
        assert (await api.get(f"/jobs/{job}/?as_of={after}")).status == 404
        then = await api.get(f"/jobs/{job}/?as_of={position(before)}")
        assert then.json in before.json["objects"]
        assert (await api.get(f"/jobs/{job}/?as_of={position(before)}", by=BOB)).status == 404
    assert (await api.get(f"/jobs/?as_of={position(before)}")).body == before.body
    assert (await api.get(f"/jobs/?as_of={position(before)}", by=BOB)).json["objects"] == []
    assert (await api.get(f"/jobs/?as_of={after}")).json["objects"] == []
    for job, body in zip((parent, child), histories, strict=True):
        assert (await api.get(f"/jobs/{job}/history/")).body == body
        assert (await api.get(f"/jobs/{job}/history/", by=BOB)).status == 404


# What is refused


@in_turn(
    "as_of",
    [
        "",
        "yesterday",
        "-1",
        "1.5",
        "%D9%A1",
        "9" * 19,
        "2026-04-17",
        "2026-04-17T08:15:30",
        "2026-04-17%2008:15",
        "2026-02-30T00:00:00Z",
        "2026-04-17T08:15:30Zulu",
        "2026-04-17T08:15:30+99:00",
        "0001-01-01T00:00:00%2B14:00",
        "9999-12-31T23:59:59-14:00",
        "9999-12-31T23:59:59Z",
        "%00",
        "%ff",
    ],
)
async def test_a_malformed_as_of_is_refused(api: Api, as_of: str):
    """A 400 with `as_of` as its point."""
    job = await api.job()
    for path in ("/jobs/", "/jobs/detail/", f"/jobs/{job}/"):
        assert (await api.get(f"{path}?as_of={as_of}")).error == (400, "validation", "as_of")


async def test_the_future_is_refused(api: Api):
    """A position that is not reached, and a time to come."""
    job = await api.job()
    newest = position(await api.get("/jobs/"))
    soon = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    for path in ("/jobs/", f"/jobs/{job}/"):
        assert (await api.get(f"{path}?as_of={newest}")).status == 200
        for as_of in (newest + 1, soon):
            assert (await api.get(f"{path}?as_of={as_of}")).error == (400, "validation", "as_of")


async def test_a_page_of_the_past_is_bounded(api: Api):
    """All of a list at once cannot be had of the past."""
    now = position(await api.get("/jobs/"))
    for limit, status in ((0, 400), (1, 200), (SHORT_LIMIT, 200), (SHORT_LIMIT + 1, 400)):
        answer = await api.get(f"/jobs/?limit={limit}&as_of={now}")
        assert answer.status == status
        assert status == 200 or answer.error == (400, "validation", "limit")


async def test_a_list_of_the_past_examines_a_limited_number_of_jobs(
    api: Api, monkeypatch: pytest.MonkeyPatch
):
    """With more jobs than that the list is refused; each of them can be asked for."""
    monkeypatch.setattr(past, "LISTED_JOBS_MAX", 2)
    jobs = [await api.job(), await api.job()]
    now = position(await api.get("/jobs/"))
    assert uuids(await api.get(f"/jobs/?as_of={now}")) == jobs[::-1]
    await api.job()
    assert (await api.get(f"/jobs/?as_of={now}")).error == (400, "validation", "as_of")
    assert (await api.get(f"/jobs/{jobs[0]}/?as_of={now}")).status == 200


async def test_an_archive_that_cannot_be_read_hides_nothing(api: Api):
    """What may be in it is not taken for absent: 503. What is there needs no archive."""
    job = await api.job()
    now = position(await api.get("/jobs/"))
    archives = api.service.data / "archive"
    archives.mkdir()
    (archives / f"{api.service.new_id()}.jsonl.zst").write_bytes(b"cut off")
    for path in (
        f"/jobs/{UNKNOWN}/?as_of={now}",
        f"/jobs/?as_of={now}",
        f"/jobs/{UNKNOWN}/history/",
    ):
        assert (await api.get(path)).error == (503, "backend", None)
    for path in (f"/jobs/{job}/?as_of={now}", f"/jobs/{job}/history/", "/jobs/"):
        assert (await api.get(path)).status == 200


async def test_fields_of_the_past(api: Api):
    """`fields` gives exactly these keys here too."""
    job = await api.job()
    now = position(await api.get("/jobs/"))
    answer = await api.get(f"/jobs/?fields=state,uuid&as_of={now}")
    assert answer.json["objects"] == [{"uuid": job, "state": "started"}]
