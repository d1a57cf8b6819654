"""`job-ledger library`: images for everybody, beside a running service and without one."""

import os
import re
from pathlib import Path

import pytest

from tests.commands.cli.processes import Serve, Serving, ask


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A raw image that is no multiple of anything, with a hole in it."""
    path = tmp_path / "image.raw"
    with path.open("wb") as file:
        file.write(os.urandom(100_000))
        file.seek(3_000_000)
        file.write(b"the end")
    return path


def _added(image: Path, data: Path, *arguments: str) -> str:
    added = ask("library", "add", image, "--name", "Example OS", *arguments, "--data", data)
    assert (added.code, added.err) == (0, "")
    found = re.fullmatch(r"added ([0-9a-f-]{36})\n", added.out)
    assert found, added.out
    return found[1]


def test_an_image_is_added_beside_a_service(shared: Serving, image: Path) -> None:
    """From then on everybody sees it; it is listed until it is removed, and so is its file."""
    email, password = "lib@example.test", "a password of mine"
    added = ask(
        "account", "add", email, "--password-stdin", "--data", shared.data, stdin=password.encode()
    )
    assert added.code == 0
    uuid = _added(image, shared.data, "--meta", "os=linux", "--meta", "url=http://x/?a=b")
    assert shared.get(f"/api/2.0/libdrives/{uuid}/", email, password) == 200
    listed = ask("library", "list", "--data", shared.data).out
    assert uuid in listed
    assert "os=linux" in listed
    assert "url=http://x/?a=b" in listed
    removed = ask("library", "remove", uuid, "--data", shared.data)
    assert removed == (0, f"removed {uuid}\n", "")
    assert shared.get(f"/api/2.0/libdrives/{uuid}/", email, password) == 404
    assert uuid not in ask("library", "list", "--data", shared.data).out


def test_an_image_is_added_without_a_service(serve: Serve, data: Path, image: Path) -> None:
    """The command does it itself, byte for byte, and the next start knows of it."""
    uuid = _added(image, data, "--media", "cdrom")
    stored = (data / "pools" / "main" / f"{uuid}.img").read_bytes()
    assert stored[: image.stat().st_size] == image.read_bytes()
    assert not any(stored[image.stat().st_size :])
    serve()
    assert uuid in ask("library", "list", "--data", data).out


@pytest.mark.parametrize("running", [True, False], ids=["running", "alone"])
def test_refusals(shared: Serving, data: Path, image: Path, *, running: bool) -> None:
    """Each in one line with exit code 1, and nothing is left of it."""
    where = shared.data if running else data
    empty = image.with_name("empty")
    empty.touch()
    before = ask("library", "list", "--data", where).out
    for arguments, saying in (
        (("add", empty, "--name", "x"), "an image has 1 to"),
        (("add", image, "--name", "x" * 256), "255 characters"),
        (("add", image, "--name", "x", "--storage-type", "tape"), "storage type tape"),
        (("add", image, "--name", "x", "--meta", "k" * 33 + "=v"), "32 characters"),
        (("remove", "53f94b39-2bb6-4aca-80e7-c3ffa8d0224f"), "no drive with uuid"),
    ):
        refused = ask("library", *arguments, "--data", where)
        assert (refused.code, refused.out) == (1, "")
        assert saying in refused.err
        assert refused.err.count("\n") == 1
    assert ask("library", "list", "--data", where).out == before


def test_words_that_are_no_image(data: Path, tmp_path: Path, image: Path) -> None:
    """A file that is not there, and a meta without a value, are faults of the command line."""
    for arguments in (
        (tmp_path / "nothing", "--name", "x"),
        (tmp_path, "--name", "x"),
        (image, "--name", "x", "--meta", "novalue"),
        (image,),
    ):
        assert ask("library", "add", *arguments, "--data", data).code == 2
