"""Images up and down, and on from where they were cut."""

import os
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.acceptance.client import data_blocks, sha256
from tests.acceptance.running import EMAIL, PASSWORD, Machine, Server
from tests.commands.client.conftest import Shell
from tests.support.between import Between
from tests.support.wait import wait_for

MIB = 1024**2
CHUNK = 4 * MIB


@pytest.fixture
def image(shell: Shell) -> Path:
    """Some chunks, and a little."""
    file = shell.home / "disk.img"
    file.write_bytes(data_blocks(200) + b"and a little")
    return file


def test_an_image_goes_up_and_comes_back(server: Server, shell: Shell, image: Path) -> None:
    """The uuid is printed, the drive has the file's name, and the bytes are the same."""
    shell.log_in(server)
    done = shell.run("upload", str(image))
    assert (done.code, done.err) == (0, "")
    drive = done.out.strip()
    assert server.api.drive(drive)["name"] == "disk.img"
    assert shell.run("download", drive) == (0, f"{drive}.img\n", "")
    content = (shell.home / f"{drive}.img").read_bytes()
    assert content[: image.stat().st_size] == image.read_bytes()
    assert set(content[image.stat().st_size :]) <= {0}
    again = shell.run("download", drive)
    assert (again.code, "exists already" in again.err) == (3, True)
    assert shell.run("download", drive, "--force").code == 0


def test_an_upload_goes_on_where_it_was_cut(server: Server, shell: Shell, image: Path) -> None:
    """What was broken off says how it goes on; what is there is not sent again."""
    port = urlsplit(server.api.address).port
    assert port is not None
    with Between(port, up_most=CHUNK + MIB).running() as between:
        login = ("login", between.address, "--email", EMAIL, "--password-stdin")
        assert shell.run(*login, stdin=f"{PASSWORD}\n").code == 0
        broken = shell.run("upload", str(image))
        assert broken.code == 3
        assert f"resume with: job-ledger upload {image} --resume " in broken.err
    drive = broken.err.split("--resume ")[1].split()[0]
    assert server.api.drive(drive)["status"] == "uploading"
    shell.log_in(server)
    resumed = shell.run("upload", str(image), "--resume", drive)
    assert (resumed.code, resumed.out) == (0, f"{drive}\n")
    whole = server.api.download(drive)[: image.stat().st_size]
    assert sha256(whole) == sha256(image.read_bytes())
    over = shell.run("upload", str(image), "--resume", drive)
    assert (over.code, "is complete already" in over.err) == (3, True)


def test_a_download_goes_on_where_it_was_cut(server: Server, shell: Shell, image: Path) -> None:
    """What was broken off says how it goes on; what is there is not sent again."""
    drive = server.api.upload(image.read_bytes())
    port = urlsplit(server.api.address).port
    assert port is not None
    with Between(port, down_most=5 * MIB).running() as between:
        login = ("login", between.address, "--email", EMAIL, "--password-stdin")
        assert shell.run(*login, stdin=f"{PASSWORD}\n").code == 0
        broken = shell.run("download", drive, "x.img")
        assert broken.code == 3
        assert f"resume with: job-ledger download {drive} x.img\n" in broken.err
    part = shell.home / "x.img.part"
    came = part.stat().st_size
    assert MIB < came <= 5 * MIB
    with Between(port, down_most=server.api.drive(drive)["size"] - came + MIB).running() as rest:
        assert shell.run(*login[:1], rest.address, *login[2:], stdin=f"{PASSWORD}\n").code == 0
        assert shell.run("download", drive, "x.img") == (0, "x.img\n", "")
    assert not part.exists()
    assert sha256((shell.home / "x.img").read_bytes()) == sha256(server.api.download(drive))


def test_what_came_of_another_image_does_not_stay(
    server: Server, shell: Shell, image: Path
) -> None:
    """A part is gone on with only if it has the date of the image."""
    shell.log_in(server)
    drive = server.api.upload(image.read_bytes())
    part = shell.home / "x.img.part"
    part.write_bytes(b"of another image")
    os.utime(part, (0, 0))
    assert shell.run("download", drive, "x.img").code == 0
    assert sha256((shell.home / "x.img").read_bytes()) == sha256(server.api.download(drive))


def test_an_empty_file_is_no_image(server: Server, shell: Shell, machine: Machine) -> None:
    """Nothing is made of it."""
    shell.log_in(server)
    (shell.home / "empty.img").touch()
    done = shell.run("upload", "empty.img")
    assert (done.code, "is not an image" in done.err) == (3, True)
    assert server.api.drives() == []
    wait_for("nothing in the pool", lambda: not [f for f in machine.files() if f[0] != "."])
