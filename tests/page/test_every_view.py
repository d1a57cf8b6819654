"""Every view, wide and narrow, light and dark: accessible, and without a fault in the console."""

from collections.abc import Mapping
from typing import Any, Literal

import pytest
from playwright.sync_api import Page, expect

from api.service.version import VERSION
from tests.acceptance.client import PUBLIC_KEY, Api, striped
from tests.acceptance.running import Server
from tests.page.browsing import (
    COLOURS,
    EVERY_RULE,
    NARROW,
    SCREENSHOTS,
    WIDE,
    Watched,
    check_accessible,
    fill_in,
)
from tests.page.conftest import OPERATOR, OPERATORS_PASSWORD

HEADINGS = (
    *("Jobs", "Activity", "Drives", "Servers", "Keypairs"),
    *("Retention", "Ledger", "Accounts"),
)
LOOKS: tuple[tuple[int, Literal["light", "dark"], Mapping[str, list[str]]], ...] = (
    (NARROW, "dark", EVERY_RULE),
    (NARROW, "light", COLOURS),
    (WIDE, "dark", COLOURS),
    (WIDE, "light", EVERY_RULE),
)
"""Width, scheme and what is looked for: only colours are another's in each of the four."""
SHOWN = {
    *((name, WIDE, "light") for name in ("jobs", "job", "activity", "ledger")),
    ("job", NARROW, "dark"),
}
"""What the README shows."""


def some_jobs(api: Api) -> tuple[str, str]:
    """Drives and a server with their clones; the server's job, and a drive."""
    drive = api.upload(striped(4), name="database")
    other = api.upload(striped(2), name="web")
    server = api.create_server(drive, other, name="shop")
    api.post("/keypairs/", {"name": "laptop", "public_key": PUBLIC_KEY}, status=201)
    job = api.clone_server(server).job
    clone = api.clone(api.upload(striped(2), name="archive"), name="archive of Monday")
    api.succeed(job, clone.job)
    return job, clone.uuid


UNKNOWN = "53f94b39-2bb6-4aca-80e7-c3ffa8d0224f"


def test_every_view(server: Server, watch: Any, request: pytest.FixtureRequest) -> None:
    """From the login on, each has its heading and title, and fits into wide and narrow windows."""
    api = Api(server.api.address, OPERATOR, OPERATORS_PASSWORD)
    job, drive = some_jobs(api)
    watched: Watched = watch(server.api.address)
    page = watched.page

    def look(name: str, heading: str) -> None:
        expect(page.get_by_role("heading", level=1, name=heading)).to_be_visible()
        expect(page).to_have_title(
            f"{page.get_by_role('heading', level=1).inner_text()} · Job Ledger"
        )
        expect(page.get_by_text("Loading …")).to_have_count(0)
        for width, scheme, rules in LOOKS:
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)
            check_accessible(page, rules)
            if request.config.getoption("--screenshots") and (name, width, scheme) in SHOWN:
                # Given a path, Playwright would write the file in a thread that stays.
                picture = SCREENSHOTS / f"{name}-{width}-{scheme}.png"
                picture.write_bytes(page.screenshot(full_page=True))

    page.goto("/")
    look("login", "Log in")
    fill_in(page, OPERATOR, OPERATORS_PASSWORD)
    for heading in HEADINGS:
        page.get_by_role("navigation", name="Views").get_by_role("link", name=heading).click()
        look(heading.lower(), heading)
    expect(page.get_by_role("contentinfo")).to_contain_text(f"Job Ledger {VERSION}")
    for path, heading in (
        (f"/jobs/{job}", f"Job {job}"),
        (f"/jobs/{job}?as_of=30", f"Job {job}"),
        (f"/drives/{drive}", "Drive archive of Monday"),
        ("/jobs?as_of=2020-01-01T00:00:00Z", "Jobs"),
        (f"/jobs/{UNKNOWN}", f"Job {UNKNOWN}"),
        ("/jobs/nothing", "Not found"),
    ):
        page.goto(path)
        look({f"/jobs/{job}": "job", f"/drives/{drive}": "drive"}.get(path, "other"), heading)


def test_an_address_that_is_nobody_s_says_so(server: Server, watch: Any) -> None:
    """A user is shown no views of the staff, and whoever follows a link to one is told."""
    page: Page = watch(server.api.address).log_in()
    expect(page.get_by_role("link", name="Retention")).to_have_count(0)
    page.goto("/retention")
    expect(page.get_by_role("heading", name="Not found")).to_be_visible()


def test_it_works_with_the_keyboard(server: Server, watch: Any) -> None:
    """The first stop skips the menu; a view that a link leads to is where the keyboard goes on."""
    page: Page = watch(server.api.address).log_in()
    page.goto("/jobs")
    expect(page.locator(".connection")).to_contain_text("Live")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    drives = page.get_by_role("link", name="Drives")
    for _ in range(6):
        page.keyboard.press("Tab")
        if drives.evaluate("each => each === document.activeElement"):
            break
    expect(drives).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Drives")).to_be_focused()


def test_nothing_is_asked_of_anybody_else(server: Server, watch: Any) -> None:
    """All that the page loads is the service's own."""
    watched: Watched = watch(server.api.address)
    asked: list[str] = []
    watched.page.on("request", lambda request: asked.append(request.url))
    page = watched.log_in()
    page.get_by_role("link", name="Activity").click()
    expect(page.get_by_role("img", name="Running jobs")).to_be_visible()
    assert asked
    assert all(url.startswith(server.api.address) for url in asked)


COVERED = """card => {
  const { left, right, top, bottom } = card.getBoundingClientRect();
  for (let y = top + 2; y < bottom; y += 4)
    for (let x = left + 2; x < right; x += 4)
      if (!card.contains(document.elementFromPoint(x, y))) return true;
  return false;
}"""


@pytest.mark.parametrize("path", ["/jobs", "/drives"])
def test_a_narrow_list_hides_its_header_from_sight_only(
    server: Server, watch: Any, path: str
) -> None:
    """Nothing lies over the first card; assistive technology still finds the columns."""
    server.api.clone(server.api.upload(striped(1), name="birch"))
    page: Page = watch(server.api.address, viewport={"width": NARROW, "height": 900}).log_in()
    page.goto(path)
    card = page.locator(".list tbody tr").first
    expect(card).to_be_visible()
    card.scroll_into_view_if_needed()
    assert not card.evaluate(COVERED)
    header = page.locator(".list thead")
    size = header.bounding_box()
    assert size is not None
    assert (size["width"], size["height"]) == (1, 1)
    assert header.get_by_role("columnheader").count() > 2
