"""A server that is killed while chunks of uploads come, and one that uploads are resumed at."""

import random
import threading
import time

import pytest
import requests

from tests.acceptance.client import BLOCK, Api, data_blocks, sha256, striped
from tests.acceptance.running import Machine
from tests.support.wait import PATIENCE_S

KILLS = 3
KILLS_LONG = 60
CHUNK = 2 * BLOCK + 1
LIFE_S = (0.01, 0.25)
"""A server lives so long after it has begun to take chunks; it is killed at a random moment."""
SENDERS = 3


@pytest.fixture
def chance(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - moments, no secrets


class Uploading:
    """An image on its way, and what the client was told of it by all servers together."""

    def __init__(self, api: Api, image: bytes) -> None:
        body = {"name": "birch", "media": "disk", "size": len(image)}
        (drive,) = api.post("/initupload/", body, status=201)["objects"]
        self.drive = drive["uuid"]
        self.size = drive["size"]
        self.image = image
        self.count = len(image) // CHUNK
        self.acknowledged: set[int] = set()
        self.wrong: list[str] = []

    def send(self, api: Api, number: int) -> None:
        end = (number + 1) * CHUNK if number < self.count - 1 else None
        answer = api.call(
            "POST",
            f"/drives/{self.drive}/upload/",
            data=self.said(number),
            files={"file": self.image[number * CHUNK : end]},
        )
        if answer.status_code not in {200, 416, 503}:
            self.wrong.append(f"chunk {number}: {answer.status_code} {answer.text}")
        if answer.status_code in {200, 416}:
            self.acknowledged.add(number)

    def there(self, api: Api, number: int) -> bool:
        path = f"/drives/{self.drive}/upload/"
        return api.call("GET", path, params=self.said(number)).status_code == 200

    def said(self, number: int) -> dict[str, int]:
        return {
            "resumableChunkNumber": number + 1,
            "resumableChunkSize": CHUNK,
            "resumableTotalSize": len(self.image),
        }


def send_until_killed(upload: Uploading, api: Api, numbers: list[int]) -> threading.Thread:
    """Sends these chunks in a thread of its own."""

    def run() -> None:
        with api.another() as own:
            for number in numbers:
                try:
                    upload.send(own, number)
                except requests.RequestException:
                    return  # killed

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_kill_while_chunks_come(
    machine: Machine, chance: random.Random, request: pytest.FixtureRequest
) -> None:
    """Chunks that were acknowledged survive kills, and what is missing completes the source."""
    server = machine.start()
    image = striped(40, seed=7) + data_blocks(8, seed=8) + b"end"
    upload = Uploading(server.api, image)
    for _ in range(KILLS_LONG if request.config.getoption("--long") else KILLS):
        numbers = chance.sample(range(upload.count), upload.count)
        missing = [number for number in numbers if number not in upload.acknowledged]
        senders = [
            send_until_killed(upload, server.api, missing[start::SENDERS][:8])
            for start in range(SENDERS)
        ]
        time.sleep(chance.uniform(*LIFE_S))
        server.kill()
        for sender in senders:
            sender.join(PATIENCE_S)
            assert not sender.is_alive()
        assert upload.wrong == []
        server = machine.start()
        lost = [each for each in upload.acknowledged if not upload.there(server.api, each)]
        assert lost == [], "acknowledged and lost"

    for number in range(upload.count):
        upload.send(server.api, number)
    assert upload.wrong == []
    assert server.api.drive(upload.drive)["status"] == "unmounted"
    whole = image.ljust(upload.size, b"\0")
    assert sha256(server.api.download(upload.drive)) == sha256(whole)
    machine.wait_for_files(upload.drive)
    assert server.stop() == 0
    machine.check_sound()
