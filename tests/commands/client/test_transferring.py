"""Images up and down, and on from where they were cut."""

from pathlib import Path

import pytest

from tests.acceptance.client import data_blocks, sha256
from tests.acceptance.running import Machine, Server
from tests.commands.client.conftest import Shell
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
    with shell.cut_off(server, up_most=CHUNK + MIB):
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
    with shell.cut_off(server, down_most=5 * MIB):
        broken = shell.run("download", drive, "x.img")
        assert broken.code == 3
        assert f"resume with: job-ledger download {drive} x.img\n" in broken.err
    part = shell.home / "x.img.part"
    came = part.stat().st_size
    assert MIB < came <= 5 * MIB
    with shell.cut_off(server, down_most=server.api.drive(drive)["size"] - came + MIB):
        assert shell.run("download", drive, "x.img") == (0, "x.img\n", "")
    assert not part.exists()
    assert sha256((shell.home / "x.img").read_bytes()) == sha256(server.api.download(drive))


def test_a_part_of_another_drive_is_refused(server: Server, shell: Shell, image: Path) -> None:
    """Under the same name, a download that was cut belongs to its drive alone."""
    first = server.api.upload(image.read_bytes())
    second = server.api.upload(image.read_bytes()[::-1])
    with shell.cut_off(server, down_most=5 * MIB):
        assert shell.run("download", first, "x.img").code == 3
    shell.log_in(server)
    refused = shell.run("download", second, "x.img")
    assert (refused.code, f"it is of drive {first}" in refused.err) == (1, True)
    assert "resume with" not in refused.err
    assert not (shell.home / "x.img").exists()
    assert shell.run("download", first, "x.img").code == 0
    assert sha256((shell.home / "x.img").read_bytes()) == sha256(server.api.download(first))


def test_an_upload_that_began_with_another_file_is_not_resumed(
    server: Server, shell: Shell, image: Path
) -> None:
    """It would end as a mixture; the file that it began with is still taken."""
    with shell.cut_off(server, up_most=CHUNK + MIB):
        broken = shell.run("upload", str(image))
        assert broken.code == 3
    drive = broken.err.split("--resume ")[1].split()[0]
    shell.log_in(server)
    other = shell.home / "other.img"
    other.write_bytes(image.read_bytes()[::-1])
    refused = shell.run("upload", str(other), "--resume", drive)
    assert (refused.code, "chunk 1 of drive" in refused.err) == (1, True), refused
    assert "resume with" not in refused.err
    assert server.api.drive(drive)["status"] == "uploading"
    assert shell.run("upload", str(image), "--resume", drive).code == 0


def test_an_empty_file_is_no_image(server: Server, shell: Shell, machine: Machine) -> None:
    """Nothing is made of it."""
    shell.log_in(server)
    (shell.home / "empty.img").touch()
    done = shell.run("upload", "empty.img")
    assert (done.code, "is not an image" in done.err) == (3, True)
    assert server.api.drives() == []
    wait_for("nothing in the pool", lambda: not [f for f in machine.files() if f[0] != "."])
