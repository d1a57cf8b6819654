"""Jobs on the page: live, filtered, page by page, as a tree, and as they were."""

import re
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, Route, expect

from api.client.format import in_words
from tests.acceptance.client import Api, data_blocks, striped
from tests.acceptance.running import Server
from tests.page.browsing import Watched, settle, wait_on
from tests.page.conftest import endless
from tests.support.between import Between
from tests.support.wait import wait_for

PAGE = 50
TRIES = 3
"""So often the page tries in vain to be connected again."""


def row(page: Page, uuid: str) -> Any:
    return page.get_by_role("row").filter(has=page.locator(f'a[title="{uuid}"]'))


def cancel(api: Api, job: str) -> None:
    api.post(f"/jobs/{job}/action/?do=cancel", {}, status=202)


def query(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def test_a_clone_is_seen_from_its_beginning_to_its_end(slow: Server, watch: Any) -> None:
    """Nobody reloads the page: the job comes, moves and ends in the list."""
    api = slow.api
    source, short = api.upload(endless()), api.upload(data_blocks(1))
    page: Page = watch(api.address).log_in()
    expect(page.get_by_text("There are no such jobs.")).to_be_visible()
    job = api.clone(source).job
    line = row(page, job)
    expect(line.get_by_text("started")).to_be_visible()
    expect(line.get_by_text(re.compile(r"of 32\.0 MiB, .*/s, .* left"))).to_be_visible()
    cancel(api, job)
    expect(line.get_by_text("cancelled")).to_be_visible()
    line = row(page, api.clone(short).job)
    expect(line.get_by_text("success")).to_be_visible()
    expect(line.get_by_text("100 %")).to_be_visible()


def test_a_tree_moves_and_can_be_cancelled(slow: Server, watch: Any) -> None:
    """A server's clone has a line for each disk; a sub-job that is cancelled takes all along."""
    disks = [slow.api.upload(endless(seed)) for seed in (1, 2)]
    clone = slow.api.clone_server(slow.api.create_server(*disks))
    page: Page = watch(slow.api.address).log_in()
    page.goto(f"/jobs/{clone.job}")
    expect(page.get_by_role("heading", name="2 sub-jobs")).to_be_visible()
    nodes = page.locator(".tree .node")
    expect(nodes).to_have_count(2)
    expect(nodes.get_by_text(re.compile(r"reported \d+ s ago"))).to_have_count(2)
    expect(nodes.get_by_text(re.compile(r"of 32\.0 MiB, .*/s"))).to_have_count(2)
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".card").get_by_text("cancelled")).to_be_visible()
    expect(nodes.get_by_text("cancelled")).to_have_count(2)
    assert slow.api.job(clone.job)["state"] == "cancelled"


def test_the_timeline_leads_into_the_past(server: Server, watch: Any) -> None:
    """Each event has its position, actor and details in words; followed, the job is as it was."""
    api = server.api
    job = api.clone(api.upload(striped(4))).job
    api.succeed(job)
    events = api.get(f"/jobs/{job}/history/")["objects"]
    page: Page = watch(api.address).log_in()
    page.goto(f"/jobs/{job}")
    table = page.get_by_role("table", name="Events of the job")
    expect(table.get_by_role("row")).to_have_count(len(events) + 1)
    expect(table).to_contain_text(events[0]["actor"])
    said = [", ".join(in_words(event["fields"])) for event in reversed(events)]
    assert "resources: kind drives, uuid" in said[-1]
    expect(table.locator(".fields")).to_have_text(said)  # as `job-ledger job --history` says it
    expect(page.locator(".card").get_by_text("success")).to_be_visible()
    table.get_by_role("link", name=str(events[0]["position"]), exact=True).click()
    expect(page.get_by_text(f"position {events[0]['position']}")).to_be_visible()
    expect(page.locator(".card .state-started")).to_be_visible()
    page.get_by_role("link", name="Back to now").click()
    expect(page.locator(".card").get_by_text("success")).to_be_visible()


def test_the_list_as_it_was(server: Server, watch: Any) -> None:
    """A moment that is picked stays in the address; what came later is not there."""
    api = server.api
    source = api.upload(striped(1))
    api.succeed(early := api.clone(source).job)
    second = int(time.time()) + 1
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
    wait_for("for that moment to be over", lambda: time.time() > second)
    api.succeed(late := api.clone(source).job)
    page: Page = watch(api.address).log_in()
    expect(row(page, late)).to_be_visible()
    page.get_by_label("Show as of").fill(moment)
    page.get_by_label("Show as of").blur()
    expect(page.get_by_text("This is how it was at")).to_be_visible()
    expect(row(page, early)).to_be_visible()
    expect(row(page, late)).to_have_count(0)
    assert query(page)["as_of"] == [f"{moment}.000Z"]
    page.reload()
    expect(row(page, early)).to_be_visible()
    expect(row(page, late)).to_have_count(0)
    page.get_by_role("link", name="Back to now").focus()
    page.keyboard.press("Enter")
    expect(row(page, late)).to_be_visible()
    expect(page.get_by_role("heading", name="Jobs")).to_be_focused()


def test_a_moment_is_typed_in_peace(server: Server, watch: Any) -> None:
    """It is gone to once it is whole, as one step; the browser calls each key a change."""
    api = server.api
    api.succeed(job := api.clone(api.upload(striped(1))).job)
    page: Page = watch(api.address).log_in()
    page.goto(f"/jobs/{job}")
    moment = page.get_by_label("Show as of")
    moment.focus()
    steps = page.evaluate("history.length")
    page.keyboard.type("01012040")
    page.keyboard.press("Tab")
    page.keyboard.type("120000a")  # where there is an am
    expect(moment).to_be_focused()
    assert page.evaluate("history.length") == steps
    page.keyboard.press("Enter")
    expect(page.get_by_text("This is how it was at")).to_be_visible()
    assert page.evaluate("history.length") == steps + 1


def test_a_field_that_is_only_passed_by(server: Server, watch: Any) -> None:
    """Leaves no step in the browser's history, also if its moment is a whole minute."""
    page: Page = watch(server.api.address).log_in()
    page.goto("/jobs?last_modified__gte=2026-01-01T12:00:00.000Z")
    expect(page.get_by_label("Changed from")).to_have_value("2026-01-01T12:00")
    steps = page.evaluate("history.length")
    page.get_by_label("Changed from").focus()
    page.get_by_label("Changed from").blur()
    page.get_by_label("State").select_option("success")
    assert page.evaluate("history.length") == steps + 1, "only the filter that was chosen is one"


def test_filters_are_in_the_address(slow: Server, watch: Any) -> None:
    """Whoever is sent the address sees the same, and the browser's way back undoes a filter."""
    api = slow.api
    source, other = api.upload(striped(1)), api.upload(endless())
    api.succeed(done := api.clone(source).job)
    running = api.clone(other).job
    page: Page = watch(api.address).log_in()
    expect(row(page, running)).to_be_visible()
    page.get_by_label("State").select_option("success")
    expect(row(page, running)).to_have_count(0)
    expect(row(page, done)).to_be_visible()
    assert query(page) == {"state": ["success"]}
    page.reload()
    expect(page.get_by_label("State")).to_have_value("success")
    expect(row(page, running)).to_have_count(0)
    page.go_back()
    expect(row(page, running)).to_be_visible()
    page.get_by_label("Drive or server").fill(source)
    page.get_by_label("Drive or server").press("Enter")
    page.get_by_label("Operation").select_option("drive_clone")
    expect(row(page, running)).to_have_count(0)
    assert query(page) == {"resource": [source], "operation": ["drive_clone"]}
    page.get_by_role("link", name="Clear filters").click()
    expect(row(page, running)).to_be_visible()


def test_pages_go_on_from_the_newest_to_the_oldest(server: Server, watch: Any) -> None:
    """A page further down stays as it is while new jobs come in at the front."""
    api = server.api
    source = api.upload(striped(1))
    jobs = [api.clone(source).job for _ in range(PAGE + 5)]
    api.succeed(*jobs)
    oldest = jobs[4::-1]
    watched: Watched = watch(api.address)
    page = watched.log_in()
    links = page.get_by_role("row").locator("td:first-child a")
    expect(links).to_have_count(PAGE)
    page.get_by_role("link", name="Next page").click()
    expect(links).to_have_count(5)
    assert [link.get_attribute("title") for link in links.all()] == oldest
    api.succeed(newest := api.clone(source).job)
    wait_on(page, "for frames of it", lambda: any(newest in frame for frame in watched.frames))
    settle(page)
    expect(links).to_have_count(5)
    page.get_by_role("link", name="First page").click()
    expect(row(page, newest)).to_be_visible()


@pytest.mark.parametrize("view", ["list", "job"])
def test_what_happened_while_the_connection_was_lost(slow: Server, watch: Any, view: str) -> None:
    """Nothing comes through for a while; then every change is there, without a reload."""
    api = slow.api
    port = urlsplit(api.address).port
    assert port is not None
    source = api.upload(striped(1))
    kept = api.clone(api.upload(endless()), name="kept").job
    with Between(port).running() as between:
        watched: Watched = watch(between.address)
        page: Page = watched.log_in()
        expect(row(page, kept)).to_be_visible()
        if view == "job":
            page.goto(f"/jobs/{kept}")
            expect(page.locator(".card .state-started")).to_be_visible()
        expect(page.locator(".connection")).to_contain_text("Live")
        between.cut()
        expect(page.locator(".connection")).to_contain_text("Connection lost")
        cancel(api, kept)
        api.succeed(new := api.clone(source).job)
        wait_on(page, "for more tries in vain", lambda: between.refused >= TRIES)
        between.mend()
        expect(page.locator(".connection")).to_contain_text("Live")
        if view == "job":
            expect(page.locator(".card").get_by_text("cancelled")).to_be_visible()
            expect(page.get_by_role("table", name="Events of the job")).to_contain_text("cancelled")
        else:
            for job, state in ((new, "success"), (kept, "cancelled")):
                expect(row(page, job).get_by_text(state)).to_be_visible()
        watched.faults = [fault for fault in watched.faults if "ERR_" not in fault]


def test_the_last_report_of_a_tree_is_its_newest(slow: Server, watch: Any) -> None:
    """The job of a server clone changes only when a disk is done; its disks report all the time."""
    api = slow.api
    job = api.clone_server(api.create_server(api.upload(endless()))).job
    page: Page = watch(api.address).log_in()
    page.goto(f"/jobs/{job}")
    card = page.get_by_role("region", name="The job")
    expect(card.locator(".figures")).not_to_contain_text("0 B of")
    moments = page.evaluate(
        "[...document.querySelectorAll('.facts time, .tree time')].map((at) => at.dateTime)"
    )
    shown = api.job(job)
    started, report, reported_below = moments
    assert started == shown["created"]
    assert report == reported_below > shown["last_modified"]


def test_the_timeline_begins_with_the_newest_events(server: Server, watch: Any) -> None:
    """The rest comes on demand: a job may have hundreds."""
    job = server.api.clone(server.api.upload(striped(1))).job
    server.api.succeed(job)
    (event, *_) = server.api.get(f"/jobs/{job}/history/")["objects"]
    asked: list[str] = []

    def many(route: Route) -> None:
        asked.append(route.request.url)
        count = 120 if "limit=0" in asked[-1] else 50
        objects = [{**event, "version": 120 - number} for number in range(count)]
        route.fulfill(json={"meta": {"total_count": 120}, "objects": objects})

    page: Page = watch(server.api.address).log_in()
    page.route("**/history/?*", many)
    page.goto(f"/jobs/{job}")
    expect(page.get_by_text("The newest 50 of 120 events.")).to_be_visible()
    assert all("order_by=-version" in url for url in asked)
    page.get_by_role("button", name="Show all").click()
    events = page.get_by_role("table", name="Events of the job").get_by_role("row")
    expect(events).to_have_count(121)
    expect(page.get_by_role("button", name="Show all")).to_have_count(0)
