"""`Cache-Control`: nobody but an account keeps what it was shown, and no browser after a logout."""

import pytest

from api.http.caching import NOT_KEPT, REVALIDATED
from tests.api.calling import ALICE, UNKNOWN, Api


async def test_an_answer_with_a_tag_is_confirmed_before_it_is_shown_again(api: Api):
    """Every answer to an account, a 304 among them."""
    drive = await api.drive()
    paths = (f"/drives/{drive}/", "/drives/", "/jobs/", f"/drives/{drive}/download/")
    for path in paths:
        answer = await api.get(path)
        assert (answer.status, answer.headers["Cache-Control"]) == (200, REVALIDATED), path
        tag = {"If-None-Match": answer.headers["ETag"]}
        again = await api.get(path, headers=tag)
        assert (again.status, again.headers["Cache-Control"]) == (304, REVALIDATED), path
        gone = await api.get(path, headers=tag, by=None)
        assert (gone.status, gone.headers["Cache-Control"]) == (401, NOT_KEPT), path


async def test_what_has_no_tag_is_not_kept(api: Api):
    """Answers to commands, and errors."""
    made = await api.post("/tags/", {"name": "private"})
    assert (made.status, made.headers["Cache-Control"]) == (201, NOT_KEPT)
    for path, by, status in ((f"/drives/{UNKNOWN}/", ALICE, 404), ("/drives/", None, 401)):
        refused = await api.get(path, by=by)
        assert (refused.status, refused.headers["Cache-Control"]) == (status, NOT_KEPT)


@pytest.mark.usefixtures("always_streamed")
async def test_a_streamed_list_is_not_kept(api: Api):
    await api.drive()
    answer = await api.get("/drives/")
    assert "ETag" not in answer.headers
    assert answer.headers["Cache-Control"] == NOT_KEPT


async def test_no_url_lets_others_keep_what_it_answers(api: Api):
    """Neither a cache between them, nor a browser that does not ask again."""
    for route in api.client.app.router.routes():
        assert route.resource is not None
        path = route.resource.canonical.replace("{uuid}", UNKNOWN)
        if route.method != "GET" or "{" in path:
            continue
        answer = await api.client.get(path)
        kept = answer.headers["Cache-Control"]
        assert kept in (NOT_KEPT, REVALIDATED, "no-cache"), path


async def test_an_answer_may_say_who_may_keep_it(api: Api):
    """Files of the page are the same for everybody."""
    shown = await api.client.get("/")
    assert shown.headers["Cache-Control"] == "no-cache"
