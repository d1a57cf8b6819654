"""Searches for parts of names: the rest of the service goes on meanwhile."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from projections.views.snapshot import Snapshot
from tests.api.calling import SERVER, UNKNOWN, Api
from tests.support.wait import PATIENCE_S, wait_until


@pytest.mark.parametrize("kind", ["drives", "servers", "tags"])
@pytest.mark.parametrize("method", ["search", "walk"])
async def test_others_are_answered_while_names_are_searched(
    api: Api, monkeypatch: pytest.MonkeyPatch, kind: str, method: str
) -> None:
    """However long the search takes, for a list and for a page of a walk."""
    job = await api.job()
    made = await new(api, kind, "an elm")
    begun, released = threading.Event(), threading.Event()
    search: Callable[..., Any] = getattr(Snapshot, method)

    def held(*asked: Any, **page: Any) -> object:
        begun.set()
        assert released.wait(PATIENCE_S), "nobody was answered meanwhile"
        return search(*asked, **page)

    monkeypatch.setattr(Snapshot, method, held)
    after = "&after=" if method == "walk" else ""
    searching = asyncio.create_task(api.get(f"/{kind}/?name__contains=elm{after}"))
    try:
        await wait_until("the search has begun", begun.is_set)
        assert (await api.client.get("/healthz")).status == 200
        assert (await api.get(f"/jobs/{job}/")).status == 200
        assert not searching.done()
    finally:
        released.set()
    found = (await searching).json["objects"]
    assert [each["uuid"] for each in found] == [made]


async def test_only_what_is_narrow_is_counted_in_the_event_loop(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of things may bear a tag, and thousands of jobs name a resource.

    Sixty conditions on the names of tags held up all other requests for a quarter of a minute.
    """
    counted: list[int] = []
    for name in ("count", "count_jobs"):
        count = getattr(Snapshot, name)

        def noted(*asked: Any, count: Callable[..., int] = count) -> int:
            counted.append(threading.get_ident())
            return count(*asked)

        monkeypatch.setattr(Snapshot, name, noted)
    for path, is_narrow in {
        "/servers/": True,
        "/drives/?name=elm": True,
        f"/jobs/?resource={UNKNOWN}": True,
        f"/drives/?tag={UNKNOWN}": False,
        "/servers/?tag__name=elm": False,
        f"/jobs/?resource={UNKNOWN},{UNKNOWN}": False,
        f"/jobs/?resource={UNKNOWN}&resource={UNKNOWN}": False,
    }.items():
        counted.clear()
        assert (await api.get(path)).status == 200
        assert [thread == threading.get_ident() for thread in counted] == [is_narrow], path


async def test_what_is_long_is_read_in_a_thread(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tag shows all that bear it, which may be thousands; its answer is the same."""
    server = await new(api, "servers", "elm")
    body = {"name": "oak", "resources": [server]}
    (tag,) = (await api.post("/tags/", body)).json["objects"]
    threads: list[int] = []
    views = api.service.views
    open_long = views.long_snapshot

    def noted() -> AbstractContextManager[Snapshot]:
        threads.append(threading.get_ident())
        return open_long()

    monkeypatch.setattr(views, "long_snapshot", noted)
    short = await api.get(tag["resource_uri"])
    assert threads == []
    monkeypatch.setattr("api.resources.collections.BATCH_BYTES", 1)
    long = await api.get(tag["resource_uri"])
    (thread,) = threads
    assert thread != threading.get_ident()
    assert (short.json, short.headers["ETag"]) == (long.json, long.headers["ETag"])
    assert (await api.get(f"/tags/{UNKNOWN}/")).status == 404


async def new(api: Api, kind: str, name: str) -> str:
    if kind == "drives":
        return await api.drive(name=name)
    body = SERVER if kind == "servers" else {}
    uuid: str = (await api.post(f"/{kind}/", {**body, "name": name})).json["objects"][0]["uuid"]
    return uuid


async def test_a_long_list_is_searched_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is sent in parts as it is read; all of them, in order, are of one search."""
    monkeypatch.setattr("api.resources.lists.BATCH_BYTES", 1)
    monkeypatch.setattr("api.http.streams.PART_BYTES", 0)
    made = [await api.drive(name=f"elm {number}") for number in range(5)]
    searches = []
    search = Snapshot.search

    def counted(*asked: Any, **page: Any) -> Any:
        searches.append(asked)
        return search(*asked, **page)

    monkeypatch.setattr(Snapshot, "search", counted)
    answer = await api.get("/drives/?name__contains=elm&limit=0&offset=1")
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert answer.json["meta"] == {"limit": 0, "offset": 1, "total_count": 5}
    assert [each["uuid"] for each in answer.json["objects"]] == made[1:]
    assert len(searches) == 1
