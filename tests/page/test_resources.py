"""Drives and servers on the page, and names that somebody chose to do harm."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.client import PUBLIC_KEY, data_blocks, sha256, striped
from tests.acceptance.running import Server

NAMES = (
    "<img src=x onerror=document.title='taken'><script>document.title='taken'</script>",
    "\u202etxt.exe\u2066 hidden",
    "tab\there, \x1b[31mred\x1b[0m, bell\x07",
    "x" * 10_000,
    "{{7*7}} ${7*7} '\"><svg/onload=alert(1)>",
)


def test_a_drive_is_cloned_and_downloaded(server: Server, watch: Any) -> None:
    """The clone gets its name here, and its job is followed; the download is the image."""
    content = striped(4)
    source = server.api.upload(content, name="cedar")
    page: Page = watch(server.api.address).log_in()
    page.get_by_role("link", name="Drives").click()
    page.get_by_role("link", name="cedar").click()
    expect(page.get_by_role("heading", name="Drive cedar")).to_be_visible()
    page.get_by_role("button", name="Clone").click()
    expect(page.get_by_label("Name of the clone")).to_be_focused()
    page.keyboard.type("willow")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Job")).to_be_visible()
    expect(page.locator(".card").get_by_text("success")).to_be_visible()
    (clone,) = [drive for drive in server.api.drives() if drive["name"] == "willow"]
    page.goto(f"/drives/{source}")
    expect(page.get_by_role("table", name="Its jobs").get_by_text("success")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert sha256(Path(download.value.path()).read_bytes()) == sha256(content)
    assert sha256(server.api.download(clone["uuid"])) == sha256(content)


def test_the_jobs_of_a_drive_are_paged(server: Server, watch: Any) -> None:
    """By key, as all jobs are."""
    api = server.api
    source = api.upload(striped(1))
    jobs = [api.clone(source).job for _ in range(21)]
    api.succeed(*jobs)
    page: Page = watch(api.address).log_in()
    page.goto(f"/drives/{source}")
    rows = page.get_by_role("table", name="Its jobs").get_by_role("row")
    expect(rows).to_have_count(1 + 20)
    page.get_by_role("link", name="Next page").click()
    expect(rows).to_have_count(1 + 1)
    expect(page.get_by_title(jobs[0])).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_be_focused()


def test_what_is_typed_stays(slow: Server, watch: Any) -> None:
    """Whatever else is drawn anew, and however often."""
    api = slow.api
    source = api.upload(data_blocks(4), name="ash")
    page: Page = watch(api.address).log_in()
    page.get_by_role("link", name="Drives").click()
    field = page.get_by_label("Name contains")
    field.press_sequentially("a")
    api.succeed(api.clone(source, name="oak").job)
    expect(page.get_by_role("link", name="oak")).to_be_visible()
    field.press_sequentially("s")
    expect(field).to_have_value("as")
    field.press("Enter")
    expect(page.get_by_role("link", name="oak")).to_have_count(0)
    expect(page.get_by_role("link", name="ash")).to_be_visible()
    expect(field).to_be_focused()


TYPES_AT_ONCE = """
    new MutationObserver((_, observer) => {
        const field = document.querySelector("input");
        if (!field) return;
        observer.disconnect();
        field.focus();
        field.value = "oak";
    }).observe(document.body, { childList: true, subtree: true })
"""
TWO_FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


def test_what_is_typed_as_soon_as_a_field_is_there_stays(server: Server, watch: Any) -> None:
    """Somebody who goes back to a filter and types on, before the browser has shown the view."""
    page: Page = watch(server.api.address).log_in()
    page.get_by_role("link", name="Drives").click()
    page.get_by_label("Name contains").fill("ash")
    page.get_by_label("Name contains").press("Enter")
    expect(page).to_have_url(re.compile("name__contains=ash"))
    page.get_by_role("link", name="Activity").click()
    expect(page.get_by_label("Name contains")).to_have_count(0)
    page.evaluate(TYPES_AT_ONCE)
    page.go_back()
    expect(page.get_by_label("Name contains")).to_be_focused()
    page.evaluate(TWO_FRAMES)
    expect(page.get_by_label("Name contains")).to_have_value("oak")


def test_a_form_that_is_left(server: Server, watch: Any) -> None:
    """The keyboard goes on at the button that opened it."""
    server.api.upload(striped(1), name="birch")
    page: Page = watch(server.api.address).log_in()
    page.get_by_role("link", name="Drives").click()
    page.get_by_role("button", name="Clone").click()
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_role("button", name="Clone")).to_be_focused()


def test_a_server_is_cloned(server: Server, watch: Any) -> None:
    """Its job shows a sub-job for each disk; the new server comes into the list by itself.

    So does the address that a server gets by its start, and so do keypairs into theirs.
    """
    api = server.api
    nics = [{"ip_v4_conf": {"conf": "dhcp"}, "mac": "22:00:00:01:02:03"}]
    oak = api.create_server(api.upload(striped(2)), api.upload(striped(2)), name="oak", nics=nics)
    page: Page = watch(api.address).log_in()
    page.get_by_role("link", name="Servers").click()
    page.get_by_role("button", name="Clone").click()
    page.get_by_role("form", name="Clone").get_by_role("button", name="Clone").click()
    expect(page.get_by_role("heading", name="2 sub-jobs")).to_be_visible()
    expect(page.locator(".card").get_by_text("success")).to_be_visible()
    page.get_by_role("link", name="Servers").click()
    expect(page.get_by_role("row")).to_have_count(3)
    api.post(f"/servers/{oak}/action/?do=start", status=202)
    expect(page.get_by_role("row").filter(has_text="oak").first).to_contain_text("10.1.2.3")
    page.get_by_role("link", name="oak").first.click()
    expect(page.locator(".card")).to_contain_text("10.1.2.3")
    page.get_by_role("link", name="Keypairs").click()
    expect(page.get_by_text("There are no keypairs.")).to_be_visible()
    (laptop,) = api.post("/keypairs/", {"name": "laptop", "public_key": PUBLIC_KEY}, status=201)[
        "objects"
    ]
    row = page.get_by_role("row").filter(has_text="laptop")
    expect(row).to_contain_text(laptop["fingerprint"])
    api.delete(laptop["resource_uri"].removeprefix("/api/2.0"))
    expect(page.get_by_text("There are no keypairs.")).to_be_visible()


def test_a_refused_clone_says_why(server: Server, watch: Any) -> None:
    """The service's own words, and the form stays as it is."""
    server.api.upload(striped(1), name="birch")
    page: Page = watch(server.api.address).log_in()
    page.get_by_role("link", name="Drives").click()
    page.get_by_role("button", name="Clone").click()
    page.get_by_label("Name of the clone").fill("y" * 100_000)
    page.get_by_role("form", name="Clone").get_by_role("button", name="Clone").click()
    expect(page.get_by_role("alert")).to_contain_text("The service refused this.")
    expect(page.get_by_label("Name of the clone")).to_have_value("y" * 100_000)


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_hostile_name_stays_text(server: Server, watch: Any, name: str) -> None:
    """No markup of it takes effect, what is invisible in it is seen, and it breaks no layout."""
    drive = server.api.upload(striped(1), name="before")
    answer = server.api.call(
        "PUT", f"/drives/{drive}/", json=server.api.drive(drive) | {"name": name}
    )
    assert answer.status_code in (200, 400), answer.text
    shown = name if answer.status_code == 200 else "before"
    page: Page = watch(server.api.address, viewport={"width": 360, "height": 800}).log_in()
    page.goto("/drives")
    cell = page.locator("bdi.name").first
    expect(cell).to_be_visible()
    text = cell.inner_text()
    assert not set(text) & set("\u202e\u2066\x1b\x07\t")
    if "<img" in shown:
        assert text == shown
    page.goto(f"/drives/{drive}")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Drive")
    assert page.title() != "taken"
    root = "document.documentElement"
    assert page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth")
