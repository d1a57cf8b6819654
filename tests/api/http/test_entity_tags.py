"""`ETag` and `If-None-Match`: clients are not sent again what they have."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from aiohttp.test_utils import TestClient

from api.app import make_app
from api.http.requests import SHORT_LIMIT
from api.service.service import Service
from ledger.domain.commands.jobs import UpdateProgress
from projections import estimates
from tests.api.calling import (
    ALICE,
    BOB,
    DRIVE,
    ROOT,
    UNKNOWN,
    Answer,
    Api,
    authorization,
)
from tests.harness.cases import in_turn
from tests.support.api_server import ApiServer

PATHS = [
    "/jobs/",
    "/jobs/?limit=0",
    "/drives/",
    "/drives/detail/?limit=0",
    "/drives/schema/",
    "/servers/detail/?limit=0",
    "/tags/?limit=0",
    "/keypairs/",
    "/ips/detail/",
    "/libdrives/",
    "/logs/",
    "/logs/?limit=0",
]


async def conditional(api: Api, path: str, tags: str, method: str = "GET") -> Answer:
    return await api.call(method, path, headers={"If-None-Match": tags})


async def stocked(api: Api) -> tuple[str, str]:
    """A drive and the job that clones it."""
    drive = await api.drive()
    _, job = await api.clone(drive)
    return drive, job


@in_turn("path", PATHS)
async def test_every_get_has_a_tag(api: Api, path: str):
    """The tag is strong, and the same for as long as the body is; a 304 repeats it."""
    await stocked(api)
    answer = await api.get(path)
    tag = answer.headers["ETag"]
    assert tag.startswith('"')
    assert tag.endswith('"')
    assert len(tag) > 10
    assert (await api.call("HEAD", path)).headers["ETag"] == tag
    for method in ("GET", "HEAD"):
        again = await conditional(api, path, tag, method)
        assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
        assert again.headers["X-Request-ID"]
        assert int(again.headers["X-Ledger-Position"]) > 0
        assert "Content-Type" not in again.headers


async def test_single_objects_have_tags(api: Api):
    """A job, a drive, a server, a tag and a keypair too."""
    drive, job = await stocked(api)
    server = await api.server()
    tag = (await api.post("/tags/", {"name": "green"})).json["objects"][0]["uuid"]
    keypair = f"/keypairs/{await api.keypair()}/"
    things = (f"/jobs/{job}/", f"/drives/{drive}/", f"/servers/{server}/", f"/tags/{tag}/", keypair)
    for path in things:
        known = (await api.get(path)).headers["ETag"]
        assert (await conditional(api, path, known)).status == 304
        assert (await api.get(path)).headers["ETag"] == known


async def test_a_change_changes_the_tag(api: Api):
    """What has changed is sent, with another tag; what has not, is not."""
    drive, job = await stocked(api)
    paths = (f"/jobs/{job}/", f"/drives/{drive}/", "/jobs/", "/drives/detail/?limit=0")
    known = {path: (await api.get(path)).headers["ETag"] for path in paths}
    await api.job()
    assert (await conditional(api, f"/jobs/{job}/", known[f"/jobs/{job}/"])).status == 304
    await api.succeed(job)
    for path in paths:
        answer = await conditional(api, path, known[path])
        assert (answer.status, answer.headers["ETag"] == known[path]) == (200, False)
        assert answer.json


async def test_the_time_left_changes_the_tag(service: Service, monkeypatch: pytest.MonkeyPatch):
    """It is part of what is shown, so it is part of the tag."""
    monkeypatch.setattr(estimates, "MEASURED_S", 0)
    moment = [service.now()]
    timed = replace(service, now=lambda: moment[0])
    async with TestClient(ApiServer(make_app(timed))) as client:
        api = Api(client, timed)
        job = await api.job()
        await api.begin(job)
        await api.do(UpdateProgress(job, 1, 1, 1000, 10**12, 1000))
        moment[0] = service.now()
        path = f"/jobs/{job}/"
        before = await api.get(path)
        assert (await conditional(api, path, before.headers["ETag"])).status == 304
        moment[0] += timedelta(seconds=5)
        after = await conditional(api, path, before.headers["ETag"])
        assert after.status == 200
        assert after.json["data"]["eta_s"] == before.json["data"]["eta_s"] - 5


@in_turn(
    ("given", "status"),
    [
        ("{tag}", 304),
        ("W/{tag}", 304),
        ('"other", {tag}', 304),
        ('"other",W/{tag} , "another"', 304),
        ("*", 304),
        (" * ", 304),
        ('"other"', 200),
        ("", 200),
        ("{bare}", 200),
        ('"*"', 200),
        ("nonsense", 200),
        ('"', 200),
        ('"x{bare}"', 200),
    ],
)
async def test_tags_are_compared_weakly(api: Api, given: str, status: int):
    """Any tag of a list will do, weak or strong, and `*` is whatever there is."""
    tag = (await api.get("/jobs/")).headers["ETag"]
    answer = await conditional(api, "/jobs/", given.format(tag=tag, bare=tag.strip('"')))
    assert answer.status == status


async def test_several_headers_are_one_list(api: Api):
    """`If-None-Match` may come more than once."""
    tag = (await api.get("/jobs/")).headers["ETag"]
    headers = [
        ("If-None-Match", '"other"'),
        ("If-None-Match", tag),
        ("Authorization", authorization(ALICE)),
    ]
    async with api.client.get(f"{ROOT}/jobs/", headers=headers) as answer:
        assert answer.status == 304


async def test_only_answers_to_reading_have_tags(api: Api):
    """Neither errors nor answers to commands have one; `*` changes nothing for them."""
    headers = {"If-None-Match": "*"}
    drive = await api.drive()
    answers = [
        await api.get(f"/jobs/{UNKNOWN}/", headers=headers),
        await api.get("/jobs/?limit=x", headers=headers),
        await api.get("/jobs/", by=None, headers=headers),
        await api.post("/drives/", DRIVE, headers=headers),
        await api.call("OPTIONS", "/drives/", headers=headers),
        await api.call("PUT", f"/drives/{drive}/", json={"name": "x"}, headers=headers),
        await api.delete(f"/drives/{drive}/", headers=headers),
    ]
    assert [answer.status for answer in answers] == [404, 400, 401, 201, 200, 200, 204]
    assert not any("ETag" in answer.headers for answer in answers)


async def test_an_image_has_a_tag_of_its_own(api: Api):
    """A download is tagged by its file, and is not sent again either."""
    drive = await api.drive()
    answer = await api.get(f"/drives/{drive}/download/")
    again = await conditional(api, f"/drives/{drive}/download/", answer.headers["ETag"])
    assert (again.status, again.body) == (304, b"")
    assert again.headers["X-Request-ID"]


async def test_a_tag_reveals_nothing_of_other_accounts(api: Api):
    """The same tag means the same bytes, so nothing can be learnt by guessing at one."""
    mine = (await api.get("/drives/", by=ALICE)).headers["ETag"]
    await api.drive(by=BOB)
    assert (await api.get("/drives/", by=ALICE)).headers["ETag"] == mine
    assert (await api.get("/drives/", by=BOB)).headers["ETag"] != mine


@pytest.mark.parametrize("kind", ["jobs", "drives/detail", "logs"])
@pytest.mark.usefixtures("always_streamed")
async def test_a_streamed_answer_has_no_tag(api: Api, kind: str):
    """Its tag would have to be sent before its end is known; `If-None-Match` is passed over."""
    await stocked(api)
    answer = await api.get(f"/{kind}/?limit=0", headers={"If-None-Match": "*"})
    assert (answer.status, answer.headers["Transfer-Encoding"]) == (200, "chunked")
    assert "ETag" not in answer.headers
    assert answer.json["objects"]


async def test_a_short_list_is_sent_whole(api: Api):
    """`limit=0`, which clients always send, has a tag up to a limit, and is chunked beyond it."""
    await asyncio.gather(*(api.job() for _ in range(SHORT_LIMIT)))
    whole = await api.get("/jobs/?limit=0")
    assert whole.headers["Content-Length"] == str(len(whole.body))
    assert (await conditional(api, "/jobs/?limit=0", whole.headers["ETag"])).status == 304
    assert len(whole.json["objects"]) == SHORT_LIMIT
    assert whole.json["meta"] == {"limit": 0, "offset": 0, "total_count": SHORT_LIMIT}
    await api.job()
    one_more = await api.get("/jobs/?limit=0")
    assert len(one_more.json["objects"]) == SHORT_LIMIT + 1
