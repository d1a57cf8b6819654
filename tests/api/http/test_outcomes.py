"""What a failed change says of itself: it is recorded, it is not, or nobody knows."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import pytest

from api.http import outcome
from ledger.domain.commands import Command
from ledger.domain.commands.drives import DeleteDrives
from ledger.domain.errors.store import CommitFailed, CommitPending, StoreFailed, StoreUnreachable
from ledger.store.seam import Batch
from ledger.store.writer import Caller, Writer
from ledger.workers.image_keeper import ImageKeeper
from tests.api.calling import ALICE, DRIVE, ROOT, SERVER, UNKNOWN, Answer, Api
from tests.api.late import Held
from tests.harness.cases import in_turn
from tests.support.wait import PATIENCE_S, wait_until

KEY = {"Idempotency-Key": "outcome-of-amber"}
OUTCOME = "X-Ledger-Outcome"

Request = tuple[str, str, Any]


def claim(answer: Answer) -> str | None:
    return answer.headers.get(OUTCOME)


def words(answer: Answer) -> str:
    (error,) = answer.json
    return str(error["error_message"])


def writer_of(api: Api) -> Writer:
    return api.service.ledger._writer


async def names(api: Api) -> list[str]:
    return sorted(each["name"] for each in (await api.get("/drives/")).json["objects"])


# Refusals


@in_turn(
    ("method", "path", "body", "status"),
    [
        ("POST", "/drives/", {"name": "no size"}, 400),
        ("PUT", f"/drives/{UNKNOWN}/", {"name": "x"}, 404),
        ("DELETE", f"/servers/{UNKNOWN}/", None, 404),
        ("DELETE", "/profile/", None, 405),
        ("PATCH", "/drives/", None, 405),
        ("POST", "/accounts/action/?do=fly", None, 400),
        ("POST", "/no/such/url/", None, 404),
        ("POST", "/drives/", {"name": "x" * 300_000}, 413),
    ],
)
async def test_what_is_refused_is_not_recorded(
    api: Api, method: str, path: str, body: Any, status: int
) -> None:
    answer = await api.call(method, path, json=body)
    assert (answer.status, claim(answer)) == (status, "not-recorded")


async def test_who_may_not_change_anything_has_not(api: Api) -> None:
    answer = await api.post("/drives/", DRIVE, by=None)
    assert (answer.status, claim(answer)) == (401, "not-recorded")


async def test_a_read_has_no_outcome(api: Api) -> None:
    """Also one that fails; and so has a change that succeeds."""
    assert claim(await api.get(f"/drives/{UNKNOWN}/")) is None
    assert claim(await api.post("/drives/", DRIVE)) is None


# Recorded, but not shown


@contextmanager
def away_once_recorded(
    api: Api, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> Iterator[None]:
    """Nothing can be read from the moment at which a command is recorded."""
    execute, views = api.service.ledger.execute, api.service.views
    with monkeypatch.context() as patch:

        def fail(*_: object) -> NoReturn:
            raise error

        async def execute_and_go(*given: Any) -> int:
            position = await execute(*given)
            patch.setattr(views, "snapshot", fail)
            return position

        patch.setattr(api.service.ledger, "execute", execute_and_go)
        yield


async def requests_of(api: Api) -> list[tuple[Request, int, str]]:
    """Every change that is shown, the status of its answer, and the kind of what it changes."""
    drive, server = await api.drive(), await api.server()
    tag = (await api.post("/tags/", {"name": "hazel"})).json["objects"][0]["uuid"]
    clone = {"name": "copy"}
    return [
        (("POST", "/drives/", DRIVE), 201, "drives"),
        (("POST", "/initupload/", DRIVE), 201, "drives"),
        (("PUT", f"/drives/{drive}/", {"name": "oak"}), 200, "drives"),
        (("POST", f"/drives/{drive}/action/?do=clone", clone), 202, "drives"),
        (("POST", "/servers/", SERVER), 201, "servers"),
        (("PUT", f"/servers/{server}/", {**SERVER, "name": "ash"}), 200, "servers"),
        (("POST", f"/servers/{server}/action/?do=clone", clone), 202, "servers"),
        (("POST", "/tags/", {"name": "elder"}), 201, "tags"),
        (("PUT", f"/tags/{tag}/", {"name": "elm"}), 200, "tags"),
        (("PUT", f"/keypairs/{await api.keypair()}/", {"name": "elm"}), 200, "keypairs"),
    ]


@pytest.mark.parametrize(
    "error",
    [StoreUnreachable("away"), StoreFailed("broken"), ValueError("a mistake of ours")],
    ids=["away", "broken", "mistake"],
)
async def test_what_is_recorded_is_a_success(
    api: Api, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Whatever keeps it from being shown; then it is only named, and is there."""
    monkeypatch.setattr(outcome, "SHOW_S", 0)
    for (method, path, body), status, kind in await requests_of(api):
        with away_once_recorded(api, monkeypatch, error):
            answer = await api.call(method, path, json=body)
        assert (answer.status, claim(answer)) == (status, "recorded"), path
        ((uuid, uri),) = [(each["uuid"], each["resource_uri"]) for each in answer.json["objects"]]
        assert uri == f"{ROOT}/{kind}/{uuid}/"
        assert answer.headers.get("Location") == (uri if status == 201 else None)
        assert set(answer.json["objects"][0]) == {"uuid", "resource_uri"}
        assert (await api.get(uri)).json["uuid"] == uuid
    assert api.service.failed.is_set() == (type(error) is StoreFailed)


async def test_an_upload_that_is_recorded_is_answered_as_ever(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the drive's uuid, as text: that is all that a client expects."""

    def fail(*_: object) -> NoReturn:
        raise StoreUnreachable("away")

    monkeypatch.setattr(ImageKeeper, "_provide_image", fail)
    answer = await api.call("POST", "/drives/upload/oak/", data=b"wheel")
    assert (answer.status, claim(answer)) == (200, "recorded")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    (drive,) = (await api.get("/drives/")).json["objects"]
    assert answer.body.decode() == drive["uuid"]


async def test_several_are_named_without_a_place(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcome, "SHOW_S", 0)
    with away_once_recorded(api, monkeypatch, StoreUnreachable("away")):
        answer = await api.post("/drives/", [DRIVE, DRIVE])
    assert len(answer.json["objects"]) == 2
    assert "Location" not in answer.headers


async def test_what_can_be_shown_after_a_moment_is_shown(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    really, tries = api.service.views.snapshot, 0

    def fail_twice() -> Any:
        nonlocal tries
        tries += 1
        if tries <= 2:
            raise StoreUnreachable("away for a moment")
        return really()

    monkeypatch.setattr(api.service.views, "snapshot", fail_twice)
    answer = await api.post("/drives/", DRIVE)
    assert (answer.status, claim(answer)) == (201, None)
    assert answer.json["objects"][0]["name"] == "cedar"
    assert tries == 3


async def test_a_name_alone_is_not_kept_for_a_key(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repeat shows all of it."""
    monkeypatch.setattr(outcome, "SHOW_S", 0)
    with away_once_recorded(api, monkeypatch, StoreUnreachable("away")):
        first = await api.post("/drives/", DRIVE, headers=KEY)
    second = await api.post("/drives/", DRIVE, headers=KEY)
    assert (claim(first), claim(second)) == ("recorded", None)
    assert first.json["objects"][0]["uuid"] == second.json["objects"][0]["uuid"]
    assert second.json["objects"][0]["name"] == "cedar"
    assert await names(api) == ["cedar"]


async def test_an_answer_that_cannot_be_kept_is_given(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command is recorded; it must not seem to have failed."""

    async def fail(*_: object) -> NoReturn:
        raise StoreUnreachable("away")

    with monkeypatch.context() as patch:
        patch.setattr(api.service.idempotency_keys, "keep", fail)
        first = await api.post("/drives/", DRIVE, headers=KEY)
    assert (first.status, claim(first)) == (201, None)
    second = await api.post("/drives/", DRIVE, headers=KEY)
    assert first.json["objects"][0]["uuid"] == second.json["objects"][0]["uuid"]


async def test_an_upload_that_is_undone_is_not_recorded(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its drive was recorded, and deleted again: there is nothing."""

    def fail(*_: object) -> NoReturn:
        raise OSError("the pool is broken")

    monkeypatch.setattr("ledger.workers.image_keeper.publish", fail)
    answer = await api.call("POST", "/drives/upload/oak/", data=b"wheel")
    assert (answer.status, claim(answer)) == (500, "not-recorded")
    assert await names(api) == []
    assert api.files() == set()


async def test_an_upload_that_may_be_undone_is_not_known(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its drive was recorded, and nobody knows whether its deletion was."""
    execute = api.service.ledger.execute_blocking

    def fail(*_: object) -> NoReturn:
        raise OSError("the pool is broken")

    def delete_in_doubt(command: Command, by: Caller) -> int:
        if isinstance(command, DeleteDrives):
            raise CommitPending
        return execute(command, by)

    monkeypatch.setattr("ledger.workers.image_keeper.publish", fail)
    monkeypatch.setattr(api.service.ledger, "execute_blocking", delete_in_doubt)
    answer = await api.call("POST", "/drives/upload/oak/", data=b"wheel")
    assert (answer.status, claim(answer)) == (503, "unknown")
    assert "look at /api/2.0/drives/" in words(answer)


# Not known


async def late(api: Api, monkeypatch: pytest.MonkeyPatch, *, begun: bool, **headers: str) -> Answer:
    """Return the answer to a new drive whose time is over when the writer has begun, or not yet."""
    writer, held = writer_of(api), Held()
    catch_up, append = writer._committed.catch_up, writer._store.append

    def held_before() -> None:
        held.pass_here()
        catch_up()

    def held_after(batch: Batch) -> int:
        if any("drive-created" in event.topic for event in batch.events):
            held.pass_here()
        return append(batch)

    with monkeypatch.context() as patch:
        if begun:
            patch.setattr(writer._store, "append", held_after)
        else:
            patch.setattr(writer._committed, "catch_up", held_before)
        answer = await held.answer(lambda: api.post("/drives/", DRIVE, headers=headers), patch)
    writer.exclusive(lambda _: None).result(PATIENCE_S)
    return answer


async def test_what_has_not_begun_in_time_is_withdrawn(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client is told so, and it is never recorded."""
    answer = await late(api, monkeypatch, begun=False)
    assert (answer.status, claim(answer)) == (503, "not-recorded")
    assert "nothing was changed" in words(answer)
    assert await names(api) == []


async def test_what_is_under_way_for_long_may_be_recorded(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The words say where to look for it; there it is."""
    answer = await late(api, monkeypatch, begun=True)
    assert (answer.status, claim(answer)) == (503, "unknown")
    _, told, uri = words(answer).rpartition("it may have been recorded: look at ")
    assert told
    shown = await api.get(uri)
    assert shown.json["name"] == "cedar"


async def test_with_a_key_it_can_be_repeated(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = await late(api, monkeypatch, begun=True, **KEY)
    assert claim(answer) == "unknown"
    assert words(answer).endswith("or repeat it with the same Idempotency-Key")
    again = await api.post("/drives/", DRIVE, headers=KEY)
    assert again.status == 201
    assert again.json["objects"][0]["resource_uri"] in words(answer)
    assert await names(api) == ["cedar"]


async def test_a_twin_does_not_wait_for_ever(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of its twin nothing is known either."""
    monkeypatch.setattr("api.data.idempotency_keys.ANSWER_S", 0.1)
    async with api.service.idempotency_keys.turn(ALICE.uuid, KEY["Idempotency-Key"]):
        answer = await api.post("/drives/", DRIVE, headers=KEY)
    assert (answer.status, claim(answer)) == (503, "unknown")


async def test_a_commit_that_fails_is_not_known(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the process must stop; what comes later is known to be not recorded."""

    def fail(batch: Batch) -> NoReturn:
        raise CommitFailed("the disk is broken")

    monkeypatch.setattr(writer_of(api)._store, "append", fail)
    first = await api.post("/drives/", DRIVE)
    assert (first.status, claim(first)) == (503, "unknown")
    await wait_until("the process is to stop", api.service.failed.is_set)
    second = await api.post("/drives/", DRIVE)
    assert (second.status, claim(second)) == (503, "not-recorded")


# Claimed by another request


async def test_what_another_node_has_recorded_under_the_key_is_answered(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look for the key and the command."""
    keys = api.service.idempotency_keys
    first = await api.post("/drives/", DRIVE, headers=KEY)
    really, looks = keys.find, 0

    async def find_late(account: str, key: str) -> Any:
        nonlocal looks
        looks += 1
        return None if looks == 1 else await really(account, key)

    monkeypatch.setattr(keys, "find", find_late)
    second = await api.post("/drives/", DRIVE, headers=KEY)
    assert (second.status, second.body) == (first.status, first.body)
    assert looks == 2
    assert await names(api) == ["cedar"]
