"""Cloning real images with a real server, from the upload to the clone's bytes."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

from tests.acceptance.client import BLOCK, Api, Json, data_blocks, progresses, sha256, striped
from tests.acceptance.figures import recorded
from tests.acceptance.running import Machine
from tests.support.wait import wait_for

MIB = 1024**2
ROUNDING = 16 * 1024
SLOW = "128K"
ENDLESS_BLOCKS = 512
"""At that rate they take minutes: what copies them runs until the test ends it."""
ONE_AT_A_TIME = ("--copies-per-pool", "1", "--copy-rate", SLOW)
RUNNING_KEYS = {"progress", "phase", "bytes_done", "bytes_total", "bytes_per_s", "eta_s"}


def data_bytes(image: Path) -> int:
    """Bytes of a file that are no hole."""
    return image.stat().st_blocks * 512


def keep_busy(api: Api) -> str:
    """A job that copies until it is cancelled: where one copy is made at a time, others wait."""
    return api.clone(api.upload(data_blocks(ENDLESS_BLOCKS))).job


def test_clone_is_the_source_with_its_holes(machine: Machine) -> None:
    """A clone has the source's bytes, and is a hole where the source is one."""
    content = striped(16)
    api = machine.start().api
    source = api.upload(content)
    clone = api.clone(source, name="willow")
    api.succeed(clone.job)

    assert sha256(api.download(clone.uuid)) == sha256(content)
    assert len(content) // 4 <= data_bytes(machine.image(source)) < len(content) // 2
    assert data_bytes(machine.image(clone.uuid)) == data_bytes(machine.image(source))
    assert api.drive(clone.uuid)["name"] == "willow"
    assert api.job(clone.job)["resources"] == sorted(
        [f"/api/2.0/drives/{source}/", f"/api/2.0/drives/{clone.uuid}/"]
    )


def test_download_of_a_range(machine: Machine) -> None:
    """A part of an image is downloaded by asking for a range of it."""
    content = striped(1)
    size = len(content)
    api = machine.start().api
    drive = api.upload(content)
    for asked, first, last in (("100-299", 100, 299), ("-5", size - 5, size - 1)):
        headers = {"Range": f"bytes={asked}"}
        answer = api.call("GET", f"/drives/{drive}/download/", headers=headers)
        assert answer.status_code == 206
        assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{size}"
        assert answer.content == content[first : last + 1]
    beyond = api.call("GET", f"/drives/{drive}/download/", headers={"Range": f"bytes={size}-"})
    assert beyond.status_code == 416


def test_clone_larger_than_its_source(machine: Machine) -> None:
    """A clone may be larger than its source: the source's bytes, then zeros up to 16 KiB more."""
    content = striped(4)
    api = machine.start().api
    source = api.upload(content)
    clone = api.clone(source, size=len(content) + 1)
    at_once = api.drive(clone.uuid)["size"]
    api.succeed(clone.job)

    assert at_once == api.drive(clone.uuid)["size"] == len(content) + ROUNDING
    assert sha256(api.download(clone.uuid)) == sha256(content + bytes(ROUNDING))
    assert data_bytes(machine.image(clone.uuid)) == data_bytes(machine.image(source))


def test_statuses_of_a_drive_clone(machine: Machine) -> None:
    """While it is copied a drive is `cloning_src` and its clone `cloning_dst`, never another."""
    api = machine.start(*ONE_AT_A_TIME).api
    source, busy = api.upload(data_blocks(4)), keep_busy(api)
    clone = api.clone(source)
    seen: list[tuple[str, str]] = []

    def look() -> str:
        seen.append((api.drive(source)["status"], api.drive(clone.uuid)["status"]))
        return seen[-1][1]

    look()
    api.cancel(busy)
    wait_for("for the clone", lambda: look() == "unmounted", pause_s=0)

    # The source is looked at first, so it may be free by the time that the clone is looked at.
    assert seen[0] == ("cloning_src", "cloning_dst")
    assert {destination for _, destination in seen} == {"cloning_dst", "unmounted"}
    assert {source for source, _ in seen} <= {"cloning_src", "unmounted"}
    assert api.drive(source)["status"] == "unmounted"
    assert [job["uuid"] for job in api.drive(source)["jobs"]] == [clone.job]


def test_progress_is_bytes_copied(machine: Machine) -> None:
    """Progress rises by the bytes copied, never goes down, and ends as nothing but 100."""
    api = machine.start("--copy-rate", "2M").api
    clone = api.clone(api.upload(data_blocks(160)))  # 10 MiB, 5 s
    seen = api.follow(clone.job)
    past = recorded(api, seen[-1])

    for jobs in (seen, past):
        assert progresses(jobs) == sorted(progresses(jobs))
        assert jobs[-1]["state"] == "success"
        assert jobs[-1]["data"] == {"progress": 100}
    assert len({progress for progress in progresses(past) if 0 < progress < 100}) >= 2
    running = [job["data"] for job in past[:-1] if "bytes_done" in job["data"]]
    assert all(set(data) == RUNNING_KEYS for data in running)
    assert {data["bytes_total"] for data in running} == {160 * BLOCK}
    done = [data["bytes_done"] for data in running]
    assert done == sorted(done)
    assert any(0 < bytes_done < 160 * BLOCK for bytes_done in done)
    later = [job["data"] for job in seen if 2 * MIB < job["data"].get("bytes_done", 0) < 6 * MIB]
    assert all(0 < (data["bytes_per_s"] or MIB) < 4 * MIB for data in later), later
    assert all(data["eta_s"] is None or data["eta_s"] > 0 for data in later), later
    modified = [job["last_modified"] for job in seen]
    assert modified == sorted(modified)


def test_server_clone(machine: Machine) -> None:
    """A server clone copies the disks, shares the cdrom and renews the nics' addresses."""
    contents = [striped(4, seed=1), striped(2, seed=2)]
    api = machine.start(*ONE_AT_A_TIME).api
    disks, busy = [api.upload(content) for content in contents], keep_busy(api)
    cdrom = api.upload(striped(1, seed=3), media="cdrom")
    mounts = [
        {"drive": disks[0], "device": "virtio", "dev_channel": "0:0", "boot_order": 1},
        {"drive": disks[1], "device": "virtio", "dev_channel": "0:1"},
        {"drive": cdrom, "device": "ide", "dev_channel": "0:1", "boot_order": 2},
    ]
    vlan = "5890aefb-c7a6-4d7d-8b6a-6b8b8f6d1cb0"
    nics = [
        {"model": "e1000", "ip_v4_conf": {"conf": "static", "ip": "10.0.0.5"}},
        {"model": "virtio", "vlan": vlan},
    ]
    source = api.create_server(drives=mounts, nics=nics, smp=1, meta={"tree": "larch"})
    clone = api.clone_server(source, name="alder")

    # While it runs
    job = api.job(clone.job)
    assert (job["operation"], job["state"]) == ("server_clone", "started")
    assert job["resources"] == sorted(
        [f"/api/2.0/servers/{source}/", f"/api/2.0/servers/{clone.uuid}/"]
    )
    assert {child["operation"] for child in job["children"]} == {"drive_clone"}
    server = api.server(clone.uuid)
    by_channel = {
        (drive["device"], drive["dev_channel"]): drive["drive"]["uuid"]
        for drive in server["drives"]
    }
    copies = [by_channel["virtio", "0:0"], by_channel["virtio", "0:1"]]
    assert by_channel["ide", "0:1"] == cdrom
    assert len({*copies, *disks, cdrom}) == 5
    assert [child["resources"] for child in job["children"]] == [
        sorted([f"/api/2.0/drives/{disk}/", f"/api/2.0/drives/{copy}/"])
        for disk, copy in zip(disks, copies, strict=True)
    ]
    assert [api.drive(disk)["status"] for disk in disks] == ["mounted", "mounted"]
    assert [api.drive(copy)["status"] for copy in copies] == ["cloning_dst", "cloning_dst"]
    assert [d["uuid"] for d in api.drive(copies[0])["jobs"]] == [job["children"][0]["uuid"]]
    assert api.call("DELETE", f"/drives/{disks[0]}/").status_code == 403
    assert api.call("DELETE", f"/servers/{source}/").status_code == 403

    # The parent's progress is its children's mean, weighted by their data, at any moment.
    api.cancel(busy)
    seen = api.follow(clone.job)
    assert progresses(seen) == sorted(progresses(seen))
    for look in seen[:-1]:
        assert look["data"]["progress"] == _weighted(look["children"], (4, 2))
    assert {child["state"] for child in seen[-1]["children"]} == {"success"}
    assert seen[-1]["data"] == {"progress": 100}

    # Afterwards
    for copy, content in zip(copies, contents, strict=True):
        drive = api.drive(copy)
        assert drive["status"] == "mounted"
        assert [on["uuid"] for on in drive["mounted_on"]] == [clone.uuid]
        assert sha256(api.download(copy)) == sha256(content)
    assert {on["uuid"] for on in api.drive(cdrom)["mounted_on"]} == {source, clone.uuid}
    assert [job["uuid"] for job in api.server(source)["jobs"]] == [clone.job]

    original, server = api.server(source), api.server(clone.uuid)
    assert (server["name"], server["status"]) == ("alder", "stopped")
    assert server["meta"] == {"tree": "larch"}
    assert server["vnc_password"] == original["vnc_password"]
    assert [
        (drive["device"], drive["dev_channel"], drive["boot_order"]) for drive in server["drives"]
    ] == [("ide", "0:1", 2), ("virtio", "0:0", 1), ("virtio", "0:1", None)]
    first, second = server["nics"]
    assert (first["model"], first["ip_v4_conf"]) == ("e1000", {"conf": "dhcp", "ip": None})
    assert (second["model"], second["vlan"]["uuid"]) == ("virtio", vlan)
    assert second["ip_v4_conf"] is None
    macs = {nic["mac"] for nic in server["nics"]}
    assert len(macs) == 2
    assert all(mac.startswith("22:") for mac in macs)
    assert not macs & {nic["mac"] for nic in original["nics"]}


def _weighted(children: list[Json], blocks: tuple[int, ...]) -> int:
    parts = zip(progresses(children), blocks, strict=True)
    return sum(progress * weight for progress, weight in parts) // sum(blocks)


def test_so_many_copies_at_once(machine: Machine) -> None:
    """Of three clones in a pool that takes two copies at once, the third waits at progress 0."""
    api = machine.start("--copies-per-pool", "2", "--copy-rate", SLOW).api
    long, short = api.upload(data_blocks(ENDLESS_BLOCKS)), api.upload(data_blocks(1))
    first, second, third = jobs = [api.clone(source).job for source in (long, long, short)]
    wait_for("for two copies to begin", lambda: _begun(api.jobs(), jobs[:2]))
    waiting = api.job(third)
    data = waiting["data"]
    assert (waiting["state"], data["progress"], data["phase"]) == ("started", 0, "waiting")
    api.cancel(first)
    api.succeed(third)
    assert api.job(second)["state"] == "started"

    moments = [
        {event.name: event.recorded_at for event in machine.history(job)}
        for job in (first, second, third)
    ]
    assert moments[1]["job-attempt-started"] < moments[0]["job-cancelled"]
    assert moments[2]["job-attempt-started"] > moments[0]["job-cancelled"]


def _begun(shown: list[dict[str, object]], jobs: list[str]) -> bool:
    data = {job["uuid"]: job["data"] for job in shown}
    return all(data[job]["phase"] == "working" for job in jobs)  # type: ignore[index]


def test_verified_copies(machine: Machine) -> None:
    """With --verify-copies a copy is read back: a good one succeeds, a damaged one fails."""
    content = data_blocks(64)  # 4 MiB
    server = machine.start("--verify-copies")
    api = server.api
    source = api.upload(content)
    good = api.clone(source)
    api.succeed(good.job)
    assert sha256(api.download(good.uuid)) == sha256(content)
    assert server.stop() == 0

    # Damaged before it is whole: the next server goes on with it, and quickly.
    server = machine.start("--verify-copies", "--copy-rate", "64K")
    bad = server.api.clone(source)
    wait_for("for some bytes", lambda: server.api.job(bad.job)["data"]["progress"] > 0)
    assert server.stop() == 0
    (part,) = machine.pool.glob("*.part")
    with part.open("r+b") as file:
        file.write(b"damaged")
    api = machine.start("--verify-copies").api
    last = api.follow(bad.job)[-1]
    assert last["state"] == "failed"
    assert "VerificationFailed" in last["data"]["error"]
    machine.wait_for_files(source, good.uuid)


def test_clone_into_another_storage_type(machine: Machine, tmp_path: Path) -> None:
    """A clone goes to a pool of the storage type that is asked for, else near its source."""
    (tmp_path / "slow").mkdir()
    slow = Machine(machine.data, tmp_path / "slow", machine.log)
    content = striped(8)
    pools = [f"fast={machine.pool},type=dssd", f"slow={slow.pool},type=zadara"]
    api = machine.start(pools=pools).api
    source = api.upload(content)
    near, far = api.clone(source), api.clone(source, storage_type="zadara")
    api.succeed(near.job, far.job)

    assert api.drive(source)["storage_type"] == api.drive(near.uuid)["storage_type"] == "dssd"
    assert api.drive(far.uuid)["storage_type"] == "zadara"
    assert api.drive(far.uuid)["runtime"]["storage_type"] == "zadara"
    machine.wait_for_files(source, near.uuid)
    slow.wait_for_files(far.uuid)
    assert sha256(api.download(far.uuid)) == sha256(content)
    assert data_bytes(slow.image(far.uuid)) < len(content) // 2
    refused = api.call("POST", f"/drives/{source}/action/?do=clone", json={"storage_type": "tape"})
    assert refused.status_code == 400


def test_source_and_clone_can_be_deleted_at_once(machine: Machine) -> None:
    """As soon as the clone is unmounted, it and its source can be deleted, files and all."""
    api = machine.start().api
    source = api.upload(striped(16))
    clone = api.clone(source)
    wait_for(
        "for the clone",
        lambda: api.drive(clone.uuid)["status"] == "unmounted",
        pause_s=0,
    )
    api.delete(f"/drives/{source}/")
    api.delete(f"/drives/{clone.uuid}/")

    assert api.status(f"/drives/{source}/") == api.status(f"/drives/{clone.uuid}/") == 404
    assert api.drives() == []
    job = api.job(clone.job)
    assert (job["state"], job["resources"]) == ("success", [])
    machine.wait_for_files()


def test_many_clones_of_one_source(machine: Machine) -> None:
    """Twenty clones of one source, asked for at the same moment, all succeed."""
    content = striped(16)
    api = machine.start("--copies-per-pool", "4").api
    source = api.upload(content)

    def clone(_: int) -> tuple[str, str]:
        with api.another() as own:
            return own.clone(source)

    with ThreadPoolExecutor(20) as threads:
        clones = list(threads.map(clone, range(20)))
    api.succeed(*(job for _, job in clones))

    jobs = api.drive(source)["jobs"]
    assert {job["uuid"] for job in jobs} == {job for _, job in clones}
    created = [api.job(job["uuid"])["created"] for job in jobs]
    assert all(earlier < later for earlier, later in pairwise(created)), "oldest first"
    assert api.drive(source)["status"] == "unmounted"
    digests = {sha256(machine.image(drive).read_bytes()) for drive, _ in clones}
    assert digests == {sha256(content)}


def test_clone_of_a_server_without_disks(machine: Machine) -> None:
    """A server without disks is cloned at once, and both can be deleted right after the answer."""
    api = machine.start().api
    source = api.create_server()
    clone = api.clone_server(source)
    api.delete(f"/servers/{source}/")
    api.delete(f"/servers/{clone.uuid}/")

    job = api.job(clone.job)
    assert (job["state"], job["data"]) == ("success", {"progress": 100})
    assert (job["children"], job["resources"]) == ([], [])
    assert api.status(f"/servers/{source}/") == api.status(f"/servers/{clone.uuid}/") == 404


def test_a_cancelled_copy_leaves_nothing(machine: Machine) -> None:
    """A copy that is cancelled stops; its image is removed and the source can be deleted."""
    api = machine.start("--copy-rate", SLOW).api
    source = api.upload(data_blocks(ENDLESS_BLOCKS))
    clone = api.clone(source)
    wait_for("for the copy to begin", lambda: api.job(clone.job)["data"].get("bytes_done"))
    answer = api.post(f"/jobs/{clone.job}/action/?do=cancel", status=202)
    assert answer["uuid"] == clone.job
    assert api.job(clone.job)["state"] == "cancelled"
    assert api.status(f"/drives/{clone.uuid}/") == 404
    machine.wait_for_files(source)
    api.delete(f"/drives/{source}/")
    machine.wait_for_files()
    machine.check_sound()
